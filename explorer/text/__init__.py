"""What the pages say: words and sentences, without streamlit."""
