"""What every model shares, from the data to the records; `python -m bench` lists the verbs."""
