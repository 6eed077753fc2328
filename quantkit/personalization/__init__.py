"""From a float model, a user's audio and a budget to that user's model and a report page."""
