"""Controllers of the numeric games, trained and compared with schedules and searches."""
