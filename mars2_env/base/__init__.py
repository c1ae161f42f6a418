"""What every room stands on: keyed draws, texts, parts by name, the grammar of specs, checks of arguments, journals."""
