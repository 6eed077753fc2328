"""What unlabelled clips show of a model: inputs, activation ranges, second moments."""
