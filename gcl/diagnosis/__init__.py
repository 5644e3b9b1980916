"""What typically goes wrong with unpaired translation: each symptom as a number, with a threshold and what to turn."""
