"""Context: what is known of the windows of models, and how the tokens of texts are counted."""
