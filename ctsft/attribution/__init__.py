"""How relevant each head is: CD-T, attribution patching, integrated gradients, mean ablation."""
