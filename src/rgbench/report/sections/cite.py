"""What a paper that uses the report would say and cite: methods in words, and BibTeX, from the cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from rgbench.comparison.summary import Comparison
from rgbench.data.sets import data_sets
from rgbench.measures.catalogue import metrics
from rgbench.networks import NetworkCard, networks
from rgbench.references import Reference
from rgbench.spec import RunSpec
from rgbench.store.store import RunRecord

STATISTICS = (
    Reference(
        "Wilson 1927, JASA 22, 209",
        title="Probable inference, the law of succession, and statistical inference",
    ),
    Reference(
        "Tango 1998, Statistics in Medicine 17, 891",
        title="Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    ),
    Reference(
        "Zou & Donner 2008, Statistics in Medicine 27, 1693",
        title="Construction of confidence limits about effect measures: a general approach",
    ),
    Reference(
        "Holm 1979, Scandinavian Journal of Statistics 6, 65",
        title="A simple sequentially rejective multiple test procedure",
    ),
    Reference("Hall 1992, J. R. Stat. Soc. B 54, 221", title="On the removal of skewness by transformation"),
    Reference("Rubin 1981, Annals of Statistics 9, 130", title="The {Bayesian} bootstrap"),
    Reference(
        "McNemar 1947, Psychometrika 12, 153",
        title="Note on the sampling error of the difference between correlated proportions or percentages",
    ),
    Reference(
        "Piepho 2004, J. Comput. Graph. Stat. 13, 456",
        title="An algorithm for a letter-based representation of all-pairwise comparisons",
    ),
)
"""Methods that every comparison uses."""
FOLDS = (
    Reference(
        "Nadeau & Bengio 2003, Machine Learning 52, 239", title="Inference for the generalization error"
    ),
    Reference(
        "Corani & Benavoli 2015, Machine Learning 100, 285",
        title="A {Bayesian} approach for comparing cross-validated algorithms on multiple data sets",
    ),
)
"""Methods that comparisons over folds use."""
SECTIONS: Mapping[str, tuple[Reference, ...]] = MappingProxyType(
    {
        "across": (
            Reference(
                "Demsar 2006, Journal of Machine Learning Research 7, 1",
                title="Statistical comparisons of classifiers over multiple data sets",
            ),
            Reference(
                "Friedman 1937, JASA 32, 675",
                title="The use of ranks to avoid the assumption of normality implicit in the analysis of variance",
            ),
            Reference(
                "Benavoli, Corani, Demsar & Zaffalon 2017, Journal of Machine Learning Research 18, 77",
                title="Time for a change: a tutorial for comparing multiple classifiers through {Bayesian} analysis",
            ),
        ),
        "calibration": (
            Reference(
                "Guo et al. 2017, ICML 34 (PMLR 70, 1321)",
                arxiv="1706.04599",
                title="On calibration of modern neural networks",
            ),
        ),
        "doubt": (
            Reference(
                "Gal & Ghahramani 2016, ICML 33 (PMLR 48, 1050)",
                arxiv="1506.02142",
                title="Dropout as a {Bayesian} approximation: representing model uncertainty in deep learning",
            ),
            Reference(
                "Lakshminarayanan, Pritzel & Blundell 2017, NeurIPS 30",
                arxiv="1612.01474",
                title="Simple and scalable predictive uncertainty estimation using deep ensembles",
            ),
            Reference(
                "Geifman & El-Yaniv 2017, NeurIPS 30",
                arxiv="1705.08500",
                title="Selective classification for deep neural networks",
            ),
            Reference(
                "Angelopoulos & Bates 2021",
                arxiv="2107.07511",
                title="A gentle introduction to conformal prediction and distribution-free uncertainty quantification",
            ),
        ),
        "ensembles": (
            Reference(
                "Kuncheva & Whitaker 2003, Machine Learning 51, 181",
                title="Measures of diversity in classifier ensembles and their relationship with the ensemble accuracy",
            ),
        ),
        "labels": (
            Reference(
                "Northcutt, Jiang & Chuang 2021, JAIR 70, 1373",
                arxiv="1911.00068",
                title="Confident learning: estimating uncertainty in dataset labels",
            ),
        ),
        "looks": (
            Reference(
                "Zeiler & Fergus 2014, ECCV",
                arxiv="1311.2901",
                title="Visualizing and understanding convolutional networks",
            ),
            Reference(
                "Selvaraju et al. 2017, ICCV",
                arxiv="1610.02391",
                title="{Grad-CAM}: visual explanations from deep networks via gradient-based localization",
            ),
            Reference(
                "Draelos & Carin 2020",
                arxiv="2011.08891",
                title="Use {HiResCAM} instead of {Grad-CAM} for faithful explanations of convolutional neural networks",
            ),
            Reference(
                "Adebayo et al. 2018, NeurIPS 31", arxiv="1810.03292", title="Sanity checks for saliency maps"
            ),
            Reference(
                "Luo et al. 2016, NeurIPS 29",
                arxiv="1701.04128",
                title="Understanding the effective receptive field in deep convolutional neural networks",
            ),
        ),
    }
)
"""Methods of the report's sections, by the anchor of the section."""


def methods(main: Comparison, records: Sequence[RunRecord]) -> list[str]:
    """Write the methods paragraph of a paper: data, networks, training, statistics."""
    spec = records[0].spec
    tested = "the lowest validation loss" if main.model == "best" else "the last epoch"
    seeds = sorted({record.spec.seed for record in records})
    return [
        _data_words(spec, main),
        f"We compare {_listed(_network_words(records))}.",
        f"Each was trained under the protocol {spec.protocol} of rgbench with {len(seeds)} seeds "
        f"({', '.join(map(str, seeds))}), on images prepared by the preset {spec.images.preset!r} and brought to "
        f"{_size(spec)} pixels; the model of {tested} was tested. The test set took no part in any "
        "choice.",
        f"Recognition is measured by {metrics().get(main.metric).title}. {_interval_words(main, spec, seeds)}",
    ]


def _interval_words(main: Comparison, spec: RunSpec, seeds: Sequence[int]) -> str:
    beats = (
        "A network beats another where the interval of their difference excludes zero, corrected for the number of "
        "pairs (Holm 1979)."
    )
    if spec.data.split == "becker2021" and len(seeds) > 1:
        return (
            f"Intervals ({100 * main.confidence:.0f} %) are of a bootstrap in which a source has one weight in all "
            "test sets that it is in, with the scatter over the seeds added in squares (Zou & Donner 2008), networks "
            f"paired seed by seed. {beats}"
        )
    return (
        f"Intervals ({100 * main.confidence:.0f} %) of MPCA and accuracy are score intervals (Wilson 1927; Tango 1998 "
        "for paired differences); those of NLL and Brier score come from the transformed t of Hall (1992), those of "
        "macro F1 from sources weighted at random (Rubin 1981). They are for new test sources and, from two runs on, "
        f"new seeds or folds (combined after Zou & Donner 2008). {beats} Permutation of their answers and McNemar's "
        "exact test (McNemar 1947), of these trained networks, stand beside it."
    )


def references(records: Sequence[RunRecord], anchors: Iterable[str] = ()) -> list[Reference]:
    """Collect the publications of networks, data sets, statistics, and sections of a report, each once."""
    found: list[Reference] = []
    for name in dict.fromkeys(record.spec.network.name for record in records):
        card = _card(name)
        if card is not None and card.paper.citation:
            found.append(Reference(card.paper.citation, card.paper.doi, card.paper.arxiv))
    for name in dict.fromkeys(n for r in records for n in (r.spec.data.name, r.spec.data.test) if n):
        if name in data_sets():
            data = data_sets().get(name).card
            own = "zenodo" in data.doi
            found.append(Reference(data.paper, doi="" if own else data.doi, data=data.doi if own else ""))
    found += STATISTICS
    if any(record.spec.data.split.startswith("fold-") for record in records):
        found += FOLDS
    found += [reference for anchor in anchors for reference in SECTIONS.get(anchor, ())]
    return list({reference.citation: reference for reference in found if reference.citation}.values())


def bibliography(records: Sequence[RunRecord], anchors: Iterable[str] = ()) -> str:
    """Give all references as BibTeX, that of the 2021 study first; keys are told apart by a letter."""
    entries, seen = [CITATION], {"Becker2021"}
    for reference in references(records, anchors):
        if "MNRAS 503, 1828" in reference.citation and reference.citation.startswith("Becker"):
            continue
        key = _free(reference.key, seen)
        seen.add(key)
        entries.append(reference.bibtex(key))
    return "\n\n".join(entries) + "\n"


def _data_words(spec: RunSpec, main: Comparison) -> str:
    data, tested = spec.data, sorted({row.n_test for row in main.rows if row.n_test})
    known = data_sets().get(data.name).card if data.name in data_sets() else None
    source = f"{data.name} ({known.paper})" if known is not None else "our own images"
    split = (
        f"its split {data.split!r}"
        if data.split != "becker2021"
        else "a new split by the 2021 algorithm for every seed"
    )
    where = f", tested on {data.test}, without the sources that both sets hold" if data.test else ""
    return (
        f"We use {source}, classes {', '.join(main.classes)}, {split}{where}, with {' to '.join(map(str, tested))}"
        " test sources. No two sources within 60 arcsec stand on two sides of a split."
    )


def _network_words(records: Sequence[RunRecord]) -> list[str]:
    said = []
    for name in dict.fromkeys(record.spec.network.name for record in records):
        card = _card(name)
        said.append(
            f"{card.title} ({card.paper.citation})" if card is not None and card.paper.citation else name
        )
    return said


def _card(name: str) -> NetworkCard | None:
    known = networks()
    item = known.get(name) if name in known else None
    return item if isinstance(item, NetworkCard) else None


def _size(spec: RunSpec) -> str:
    size = spec.images.size
    return f"{size} x {size}" if isinstance(size, int) else f"{size[0]} x {size[1]}"


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _free(key: str, seen: set[str]) -> str:
    return next(
        k for k in (key, *(f"{key}{letter}" for letter in "bcdefghijklmnopqrstuvwxyz")) if k not in seen
    )


CITATION = """@article{Becker2021,
  author  = {Becker, Burger and Vaccari, Mattia and Prescott, Matthew and Grobler, Trienko},
  title   = {CNN architecture comparison for radio galaxy classification},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = {503},
  number  = {2},
  pages   = {1828},
  year    = {2021},
  eprint  = {2102.03780},
  archivePrefix = {arXiv}
}"""
"""BibTeX entry of the study whose networks and protocol are reproduced."""
