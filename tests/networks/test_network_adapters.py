"""Networks from elsewhere come in by module:callable and timm:NAME, and behave like our own."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from rgbench.errors import DataError, SpecError
from rgbench.networks import canonical_name, describe_network
from rgbench.networks.modules.build import build_network


def _tiny(image_size: Any, n_classes: int, channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 3, 3, stride=2),
        nn.BatchNorm2d(3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, n_classes),
    )


def _proud(image_size: Any, n_classes: int, channels: int) -> nn.Module:
    return nn.Sequential(_tiny(image_size, n_classes, channels), nn.Softmax(dim=1))


def _short(image_size: Any, n_classes: int, channels: int) -> nn.Module:
    return _tiny(image_size, n_classes - 1, channels)


def _leaves(**_: Any) -> nn.Module:
    sys.exit(3)


def _talks(**_: Any) -> nn.Module:
    raise ValueError("two\n\nlines")


def _deep(image_size: Any, n_classes: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, 3, 17), nn.Flatten(), nn.Linear(3, n_classes))


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("elsewhere")
    vars(module).update(
        leaves=_leaves,
        talks=_talks,
        tiny=_tiny,
        proud=_proud,
        short=_short,
        deep=_deep,
        number=3,
        text=lambda **_: "no module",
    )
    monkeypatch.setitem(sys.modules, "elsewhere", module)


def test_a_callable_becomes_a_network() -> None:
    model = build_network("elsewhere:tiny", (16, 12), n_classes=3, channels=2, seed=1)
    logits = model(torch.zeros(5, 2, 16, 12))
    assert logits.shape == (5, 3)
    torch.testing.assert_close(model.activate(logits), logits.softmax(1))
    assert (model.activation_name, model.name, model.n_classes, model.channels) == (
        "softmax",
        "elsewhere:tiny",
        3,
        2,
    )
    assert (float(model.l2_penalty().detach()), model.regularised_kernels(), model.layers) == (0, [], ())


def test_a_seed_decides_the_weights_and_the_default_generator_stays() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build_network("elsewhere:tiny", 16, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    key = "inner.0.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])


def test_it_can_be_described() -> None:
    facts = describe_network("elsewhere:tiny", 17, n_classes=4)
    # Convolution 27 + 3, batch norm 6 + 6, dense 12 + 4; maps of 8 x 8.
    assert (facts["parameters"], facts["trainable_parameters"]) == (58, 52)
    assert facts["macs"] == 8 * 8 * 3 * 9 + 12
    assert facts["receptive_field"] is None
    assert set(facts) == set(describe_network("mcrgnet"))
    assert canonical_name("elsewhere:tiny") == "elsewhere:tiny"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere_at_all:tiny", "cannot import 'nowhere_at_all'"),
        ("elsewhere:huge", "no callable 'huge'"),
        ("elsewhere:number", "no callable 'number'"),
        ("elsewhere:text", "returned a str, not a torch.nn.Module"),
        ("elsewhere:proud", "ends in a softmax; networks give logits"),
        (":tiny", "not of the form module:callable or timm:NAME"),
        ("..elsewhere:tiny", "not of the form module:callable or timm:NAME"),
        ("else where:tiny", "not of the form"),
        ("elsewhere:tiny\n", r"network 'elsewhere:tiny\\n' is not of the form"),
        ("else\0where:tiny", "not of the form"),
        ("timm:\0", "not of the form"),
        ("elsewhere:leaves", r"raised SystemExit when it was made .*: 3$"),
        ("elsewhere:talks", r"raised ValueError when it was made .*: two lines$"),
        ("elsewhere:", "not of the form module:callable or timm:NAME"),
    ],
)
def test_what_cannot_come_in(name: str, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        build_network(name, 16)


@pytest.mark.parametrize("code", ["def", "raise SystemExit(1)", "1 / 0", "raise ValueError('two\\nlines')"])
def test_a_module_that_does_not_import_is_named(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SpecError, match=r"^network broken_module:f: cannot import 'broken_module' [^\n]*$"):
        build_network("broken_module:f", 16)


def test_a_wrong_number_of_outputs_is_refused() -> None:
    with pytest.raises(DataError, match=r"gave \(2, 3\); expected logits of shape \(2, 4\)"):
        build_network("elsewhere:short", 16)(torch.zeros(2, 1, 16, 16))


def test_a_network_that_cannot_run_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SpecError, match=r"elsewhere:deep cannot run on images of 16 pixels: .*[Kk]ernel size"
    ):
        describe_network("elsewhere:deep", 16)


def test_timm_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        SpecError, match=r"timm:resnet18 needs the optional package timm \(pip install 'rgbench\[timm\]'\)"
    ):
        build_network("timm:resnet18")


def test_timm_makes_untrained_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def create(name: str, pretrained: bool, num_classes: int, in_chans: int, **options: Any) -> nn.Module:
        assert not pretrained
        asked.append({"name": name, **options})
        return _tiny(None, num_classes, in_chans)

    stand_in = SimpleNamespace(
        list_models=lambda pattern="": ["resnet18", "vit"] if pattern in ("", "*resnet*") else [],
        get_pretrained_cfg_value=lambda name, key: name == "vit" and key == "fixed_input_size",
        create_model=create,
    )
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    assert build_network("timm:resnet18.tag", 16)(torch.zeros(1, 1, 16, 16)).shape == (1, 4)
    assert build_network("timm:vit", 16)(torch.zeros(1, 1, 16, 16)).shape == (1, 4)
    assert asked == [{"name": "resnet18.tag"}, {"name": "vit", "img_size": (16, 16)}]
    with pytest.raises(SpecError, match="timm has no network 'resnet81'; did you mean resnet18"):
        build_network("timm:resnet81", 16)


def _timm_imports() -> bool:
    try:
        importlib.import_module("timm")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


@pytest.mark.skipif(not _timm_imports(), reason="timm is not installed, or does not import beside this torch")
@pytest.mark.parametrize(
    ("name", "size"), [("resnet10t", 75), ("convnext_atto", 96), ("vit_tiny_patch16_224", 96)]
)
def test_networks_of_the_real_timm(name: str, size: int) -> None:
    model = build_network(f"timm:{name}", size, n_classes=3, seed=1).eval()
    with torch.no_grad():
        assert model(torch.zeros(2, 1, size, size)).shape == (2, 3)
    facts = describe_network(f"timm:{name}", size, 3)
    assert facts["trainable_parameters"] == sum(weight.numel() for weight in model.parameters())
    assert facts["macs"] > 0
