"""Where subjects come from: a class per layout of a data set."""
