"""Feature extractors: frozen networks that a metric compares images by.

A network that is trained on a surrogate task is a module with `forward(image) -> output`,
`loss(output, image, segmentation)`, `score(output, image, segmentation)` and `features(image)`,
and the class attributes `task` and `needs_labels`; its settings are the `extractor` section of
the metrics that use it. `bench.runs.extractors` trains it once and stores it.
"""
