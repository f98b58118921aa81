"""The circuit explorer: a Streamlit app over the library."""
