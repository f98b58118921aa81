# The first-run path without a screen: score the heads, find a circuit, tune it on a target language, tune everything, hold the source, compare.
# Runs are stored in a new folder, so that the table shows these three only.
set -eu
export CTSFT_HOME="${CTSFT_HOME:-$(mktemp -d)}"
ctsft() { "$PY" -m ctsft "$@"; }
target=english
settings="--target $target --n 50 --epochs 10 --lr 3e-3"

echo "== Which heads carry the task in Indonesian? (CD-T, 50 examples)"
ctsft score
scores=$(ls "$CTSFT_HOME"/runs/*-score-*/scores.safetensors | tail -n 1)
echo "== A circuit by discovery: heads that act on the answer, then heads that act on those"
ctsft discover --depth 1 --fraction 0.06
echo "== Tune 6 relevant heads on 50 $target examples"
ctsft finetune $settings --what circuit --scores "$scores" --k 6
echo "== Tune everything on the same examples"
ctsft finetune $settings --what full
echo "== Tune everything, and hold the source: after each step, parameters that Indonesian needs are pulled back"
ctsft finetune $settings --what full --hold 9
echo "== The trade-off: what $target gained, what Indonesian lost"
ctsft compare
echo "The runs are in $CTSFT_HOME; CTSFT_HOME=$CTSFT_HOME make run shows them."
