"""From scores to sequences; knows only scores."""
