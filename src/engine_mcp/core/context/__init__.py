"""Context: what of a conversation stays when it has to shrink; pure rules on messages of the API's shape."""
