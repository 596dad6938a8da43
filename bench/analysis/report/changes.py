"""Tables of changes: how well maps find what no deformation explains."""

import pandas as pd

from bench.analysis.numbers.changes import Detection
from bench.analysis.numbers.wording import interval, plain, signed, signed_interval
from bench.analysis.reading.published_values import published_changes
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.of_changes import MAIN, MAPS, POOLED
from bench.scores.registry import SCORES

FIRST = ["data set", "method", "λ", "seeds", "pairs"]
CAPTION = (
    "Changes: area under the ROC curve (AUC), average precision (AP) and components found at so "
    "many false peaks an image; means over test pairs with 95 % bootstrap intervals, of the map of "
    "the method. Pooled: over voxels of all test pairs together, at most 1000 of each pair."
)
BY_MAP = (
    "AUC of each map after registration, means over test pairs with 95 % bootstrap intervals; 1 is "
    "best."
)
REGIONS = (
    "Where the map of the method is large: mean rank of its values in each class, from 0 to 1, "
    "with 95 % bootstrap intervals. Only voxels that count and have not changed have a rank."
)
PUBLISHED = (
    "Published AUC (Czolbe, Feragen and Krause, NeurIPS 2021), read off a figure, over the pixels "
    "of all images; other images and changes than those of this report."
)
POOLED_BY_MAP = (
    "AUC of each map over voxels of all test pairs together, at most 1000 of each pair, drawn by "
    "the seed; with 95 % intervals of a bootstrap over test pairs."
)
DIFFERENCES = (
    "Difference in AUC between the map with the largest one and each other map of all methods, "
    "baselines included, but not those of one direction: means over the same test pairs with 95 % "
    "bootstrap intervals, and p of Wilcoxon's signed-rank test with Holm's correction."
)
OF_METHOD = [
    *(name for name, one in SCORES.items() if one.kind == "changes" and one.of_map == MAIN),
    *POOLED[MAIN],
]


def change_tables(found: Detection, published: bool = True) -> list[Table]:
    """Scores of the methods, AUC of each map, ranks of regions; none without a run.

    Args:
        found: The numbers.
        published: Whether the published values stand beside.
    """
    rows = found.rows
    if rows.empty:
        return []
    by_map = [name for name in (f"auc_{one}" for one in MAPS) if name in rows]
    titles = {name: SCORES[name].directed() for name in OF_METHOD if name in rows}
    further = {name: MAPS[name.removeprefix("auc_")] for name in by_map}
    tables = [
        _table(rows, "changes", CAPTION, titles),
        _table(rows, "changes-maps", BY_MAP, {"auc": "of the method", **further}),
    ]
    pooled = {POOLED[one][0]: words or "of the method" for one, words in MAPS.items()}
    known = {name: words for name, words in pooled.items() if name in rows}
    if known:
        tables.append(_table(rows, "changes-pooled", POOLED_BY_MAP, known))
    if len(found.differences):
        tables.append(_differences(found.differences))
    if len(found.regions):
        tables.append(_regions(found.regions))
    tables = [table for table in tables if table.rows]
    return [*tables, _published()] if published else tables


def _table(rows: pd.DataFrame, name: str, caption: str, headings: dict[str, str]) -> Table:
    if rows["weight"].isna().any():
        caption += f" λ is {NONE} for a method without it."
    table = Table(name, caption, [*FIRST, *headings.values()], texts=2, names=1)
    judged = rows.dropna(subset=[column for column in headings if column in rows], how="all")
    for comparison, of_one in judged.groupby("comparison", sort=False):
        best = {column: of_one[column].max() for column in headings if column in of_one}
        section = []
        for row in of_one.to_dict("records"):
            facts = [Cell(str(comparison), str(comparison)), Cell(row["label"], row["label"])]
            weight = row["weight"]
            facts.append(Cell(NONE) if pd.isna(weight) else Cell(f"{weight:g}", weight))
            facts += [Cell(f"{row[key]:.0f}", row[key]) for key in ("seeds", "pairs")]
            cells = (_cell(row, column, best.get(column), len(of_one)) for column in headings)
            section.append([*facts, *cells])
        table.sections.append(section)
    return table


def _differences(differences: pd.DataFrame) -> Table:
    headings = ["data set", "largest AUC", "other map", "pairs", "Δ AUC", "p"]
    table = Table("changes-differences", DIFFERENCES, headings, texts=3, names=2)
    for _, of_one in differences.groupby("comparison", sort=False):
        section = []
        for row in of_one.to_dict("records"):
            names = (row[key] for key in ("comparison", "best", "other"))
            limits = row["low"], row["high"]
            known = "" if pd.isna(limits[0]) else f" ({signed_interval(*limits)})"
            p = row["p_holm"]
            section.append(
                [
                    *(Cell(str(name), str(name)) for name in names),
                    Cell(f"{row['n']}", row["n"]),
                    Cell(f"{signed(row['difference'])}{known}", row["difference"]),
                    Cell(NONE) if pd.isna(p) else Cell(f"{p:.2g}", p),
                ]
            )
        table.sections.append(section)
    return table


def _regions(regions: pd.DataFrame) -> Table:
    names = list(dict.fromkeys(regions["class"]))
    table = Table("changes-regions", REGIONS, ["data set", "method", *names], texts=2, names=1)
    for comparison, of_one in regions.groupby("comparison", sort=False):
        section = []
        for label, of_label in of_one.groupby("label", sort=False):
            by_class = {row["class"]: row for row in of_label.to_dict("records")}
            cells = (_cell(by_class.get(name, {}), "map_rank", None, 1) for name in names)
            first = [Cell(str(comparison), str(comparison)), Cell(str(label), str(label))]
            section.append([*first, *cells])
        table.sections.append(section)
    return table


def _published() -> Table:
    rows = published_changes()
    data = list(dict.fromkeys(rows["data"]))
    table = Table("changes-published", PUBLISHED, ["method", *data], texts=1, names=0)
    values = rows.pivot(index="method", columns="data", values="auc")
    methods = dict.fromkeys(rows["method"])
    table.sections.append(
        [
            [Cell(name, name), *(Cell(f"{values.loc[name, one]:.2f}") for one in data)]
            for name in methods
        ]
    )
    return table


def _cell(row: dict, column: str, best: float | None, count: int) -> Cell:
    """A mean with its interval; bold where it is the best of several."""
    value = row.get(column)
    if value is None or pd.isna(value):
        return Cell(NONE)
    limits = row[f"{column}_low"], row[f"{column}_high"]
    said = "" if pd.isna(limits[0]) else f" ({interval(*limits)})"
    return Cell(f"{plain(value)}{said}", value, "best" if value == best and count > 1 else "")
