"""What a recogniser says: labels, decoders, edit distances."""
