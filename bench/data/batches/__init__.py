"""From the prepared data set to augmented batches on the device."""
