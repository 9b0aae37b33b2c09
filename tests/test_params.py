"""Whatever stands in params.yaml, what is wrong is named with file, key, expectation and the nearest valid one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_args

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from unidoc_rl import params
from unidoc_rl.errors import UnidocError
from unidoc_rl.params import IngestParams, Params, SampleParams, ServiceParams

FIELDS = {f"{name}.{key}": field for name, section in Params() for key, field in type(section).model_fields.items()}
RANGES = {
    "sample.documents": (10, 10_000),
    "sample.seed": (0, 2**32 - 1),
    "ingest.dpi": (36, 600),
    "ingest.max_pages": (1, 1_000_000),
    "ingest.page_seconds": (1, 3600),
}
TEXTS = (  # or null
    *("index.encoder", "index.late_encoder", "curate.weak", "sft.model"),
    *("services.s3", "services.endpoint", "services.kfp"),
)
IMAGE_FORMATS = get_args(IngestParams.model_fields["image_format"].annotation)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
valid = st.builds(
    Params,
    sample=st.builds(SampleParams, documents=st.integers(10, 10_000), seed=st.integers(0, 2**32 - 1)),
    ingest=st.builds(
        IngestParams,
        dpi=st.integers(36, 600),
        image_format=st.sampled_from(IMAGE_FORMATS),
        ocr=st.booleans(),
        layout=st.booleans(),
        may_leave_out=st.integers(0, 10**6),
    ),
    services=st.builds(ServiceParams, mlflow=st.none() | texts.map("http://host/{}".format), s3=st.none() | texts),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("params") / "mine.yaml"


def refusal(file: Path, data: Any, overrides: tuple[str, ...] = ()) -> str:
    """The message for these parameters, which must be wrong."""
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(UnidocError) as caught:
        params.load(file, overrides)
    return str(caught.value)


@given(valid)
def test_valid_parameters_come_back_as_they_were(file: Path, settings: Params) -> None:
    file.write_text(yaml.safe_dump(settings.model_dump(), allow_unicode=True), encoding="utf-8")
    assert params.load(file) == settings
    assert params.from_json(settings.to_json()) == settings


@given(valid, st.sampled_from([*FIELDS]))
def test_one_value_can_be_changed_on_the_command_line(file: Path, settings: Params, key: str) -> None:
    section, name = key.split(".")
    value = getattr(getattr(settings, section), name)
    file.write_text("ingest: {dpi: 100}\n")
    changed = params.load(file, [f"{key}={yaml.safe_dump(value)}"])
    assert getattr(getattr(changed, section), name) == value


@given(st.sampled_from(["", "sample.", "ingest.", "services."]), st.text("abcdefgimnoprst_", min_size=1, max_size=15))
def test_an_unknown_key_is_named_with_the_nearest(file: Path, prefix: str, name: str) -> None:
    key = prefix + name
    assume(key not in FIELDS and key not in Params.model_fields)
    data = {prefix[:-1]: {name: 1}} if prefix else {name: 1}
    message = refusal(file, data)
    assert message.startswith(f"{file}: {key}: no such key; ")
    suggested = re.search(r"the nearest valid key is (\S+)$|valid keys: (.+)$", message)
    assert suggested
    assert set((suggested[1] or suggested[2]).split(", ")) <= {*FIELDS, *Params.model_fields}


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ({"ingest": {"dppi": 1}}, "ingest.dpi"),
        ({"ingset": {}}, "ingest"),
        ({"dpi": 1}, "ingest.dpi"),
        ({"ingest": {"seed": 1}}, "sample.seed"),
    ],
)
def test_the_nearest_key_is_the_one_that_was_meant(file: Path, wrong: dict[str, Any], near: str) -> None:
    assert refusal(file, wrong).endswith(f"the nearest valid key is {near}")


@given(st.sampled_from([*RANGES]), st.integers())
def test_a_number_out_of_range_is_answered_with_the_nearest_that_is_possible(file: Path, key: str, value: int) -> None:
    low, high = RANGES[key]
    assume(not low <= value <= high)
    section, name = key.split(".")
    nearest = low if value < low else high
    message = refusal(file, {section: {name: value}})
    expected = f"expected a whole number from {low} to {high}; the nearest is {nearest}"
    assert message == f"{file}: {key}: {value} is not possible; {expected}"


def _also_possible(key: str, value: Any) -> bool:
    """What is taken although its type is not the default's."""
    if isinstance(value, str):
        return key in TEXTS
    return type(value) in (int, float) and _in_range(key, value)


def _in_range(key: str, value: float) -> bool:
    """Whole numbers are numbers too, where these are allowed."""
    field = FIELDS[key]
    if field.annotation not in (float, float | None):
        return False
    adapter: TypeAdapter[float] = TypeAdapter(Annotated[float, *field.metadata])
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


@given(
    st.sampled_from([*FIELDS]),
    scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(), scalars, max_size=2),
)
@example("sample.seed", True)
@example("ingest.dpi", float("nan"))
@example("ingest.dpi", 10**400)
@example("ingest.ocr", 1)
def test_a_value_of_another_kind_is_refused_with_what_was_expected(file: Path, key: str, value: Any) -> None:
    section, name = key.split(".")
    default = getattr(getattr(Params(), section), name)
    assume(type(value) is not type(default) and not _also_possible(key, value))
    message = refusal(file, {section: {name: value}})
    assert message.startswith(f"{file}: {key}: ")
    assert re.search("expected (a whole number|a number|true or false|one of |a list of|a text)", message)


@pytest.mark.parametrize(("given_format", "near"), [("jpeg", "jpg"), ("PNG", ""), ("webpp", "webp")])
def test_a_wrong_choice_is_answered_with_the_choices(file: Path, given_format: str, near: str) -> None:
    message = refusal(file, {"ingest": {"image_format": given_format}})
    assert "expected one of jpg, png, webp" in message
    assert message.endswith(near)


@pytest.mark.parametrize("registry", ["registry/team/", "https://registry/team", "ghcr.io/Team", "a registry"])
def test_a_registry_of_which_no_image_could_be_had_is_refused(file: Path, registry: str) -> None:
    """Its pods would wait for ever, and name nothing."""
    assert "(that has the images of `make images`, such as registry/team;" in refusal(
        file, {"pipeline": {"registry": registry}}
    )
    file.write_text("pipeline: {registry: 'registry.example:5000/team'}")
    assert params.load(file).pipeline.registry == "registry.example:5000/team"


@pytest.mark.parametrize("uri", ["milvus:19530", "milvus", "s3://bucket/milvus.db", ".db"])
def test_an_address_of_no_milvus_is_answered_with_what_one_looks_like(file: Path, uri: str) -> None:
    assert "(of Milvus: http://host:19530, or a Lite folder.db" in refusal(file, {"index": {"uri": uri}})


@pytest.mark.parametrize(
    "key",
    ["services.mlflow", "services.kfp", "index.uri", "rewards.judge", "curate.teacher", "grpo.server", "sft.model"],
)
def test_an_address_with_a_key_is_refused_and_not_shown(key: str) -> None:
    """It would be in every run, and in the pipeline."""
    with pytest.raises(UnidocError, match=rf"--set: {key}: the address carries a name or key") as caught:
        params.load(overrides=[f"{key}=http://me:hunter2@host:5000/v1"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("address", ["localhost:5000", "mlflow", "http://", "file:///mlruns", "mlflow.db"])
def test_an_address_of_no_mlflow_is_answered_with_what_one_looks_like(file: Path, address: str) -> None:
    told = refusal(file, {"services": {"mlflow": address}})
    assert told.startswith(
        f"{file}: services.mlflow: {address!r} is not possible; expected a text or null (http://host"
    )


@pytest.mark.parametrize("address", ["http://host:5000", "https://host/mlflow", "sqlite:///mlflow.db"])
def test_an_address_of_mlflow_is_taken(file: Path, address: str) -> None:
    file.write_text(f"services: {{mlflow: '{address}'}}")
    assert params.load(file).services.mlflow == address


@given(scalars.filter(lambda value: value is not None) | st.lists(scalars))
def test_what_holds_no_sections_is_refused(file: Path, data: Any) -> None:
    assert refusal(file, data if not isinstance(data, str) else [data]).startswith(
        f"{file}: expected sections (sample, "
    )


@pytest.mark.parametrize("section", [*Params.model_fields])
@pytest.mark.parametrize("value", [5, "x", [1], None])
def test_a_section_that_is_none_is_refused_with_its_keys(file: Path, section: str, value: Any) -> None:
    message = refusal(file, {section: value})
    assert message.startswith(f"{file}: {section}: {value!r} is not possible; expected a section with the keys ")


@pytest.mark.parametrize(
    "text", ["1: 2", "ingest: {2: 3}", "null: 1", "ingest: {null: 1}", "true: {x: 1}", "? [1]\n: 2"]
)
def test_a_key_that_is_no_text_is_refused(file: Path, text: str) -> None:
    assert refusal(file, text).startswith(f"{file}: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ingest: {dpi: 100, dpi: 200}", "the key 'dpi' stands twice"),
        ("ingest:\n  dpi: 1\nsample: {}\ningest:\n  dpi: 2\n", "the key 'ingest' stands twice"),
        ("yes: 1\ntrue: 2\n", "the key True stands twice"),
        ("ingest: [1", "not valid YAML"),
        ("ingest: 2024-13-45", "not valid YAML"),
        ("ingest: !!bool maybe", "not valid YAML"),
        ("ingest: !!python/object:os.system {}", "not valid YAML"),
        (f"sample: {{seed: {'9' * 5000}}}", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("a: \x00", "not valid YAML"),
    ],
)
def test_broken_yaml_is_named(file: Path, text: str, said: str) -> None:
    message = refusal(file, text)
    assert message.startswith(f"{file}: ")
    assert said in message


def test_a_merged_section_may_change_a_key(file: Path) -> None:
    file.write_text("ingest: &base {dpi: 100}\n")
    assert params.load(file).ingest.dpi == 100
    file.write_text("ingest:\n  <<: {dpi: 100, ocr: false}\n  dpi: 200\n")
    assert params.load(file).ingest == IngestParams(dpi=200, ocr=False)


@given(st.text(st.characters(codec="utf-8")) | st.text("{}[]:,-&*!|>'\"%@` \n\tabc019.", max_size=40))
def test_no_text_at_all_makes_a_traceback(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert_params_or_refusal(lambda: params.load(file), f"{file}: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "none.yaml"
    if content:
        path.write_bytes(content)
    with pytest.raises(UnidocError, match=rf"{re.escape(str(path))}: cannot be read .*--params"):
        params.load(path)


@pytest.mark.parametrize("text", ["1e-6", "1E-6", "1.e-6", "+.1e-5", "1.0e-6", "0.000001"])
def test_a_small_number_is_written_as_people_and_json_write_it(file: Path, text: str) -> None:
    file.write_text(f"sft: {{rate: {text}}}\n")
    assert params.load(file).sft.rate == params.load(None, [f"sft.rate={text}"]).sft.rate == 1e-6


@pytest.mark.parametrize("text", ["1e", "e-6", "1e-6x", "v1e-6", "'1e-6'"])
def test_what_only_looks_like_a_number_is_a_text(file: Path, text: str) -> None:
    file.write_text(f"sft: {{model: {text}}}\n")
    assert params.load(file).sft.model == text.strip("'")


def test_without_a_file_the_defaults_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert params.load() == Params()
    (tmp_path / "params.yaml").write_text("# nothing yet\n")
    assert params.load() == Params()
    (tmp_path / "params.yaml").write_text("ingest: {dpi: 72}\n")
    assert params.load().ingest.dpi == 72


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("ingest.dpi", "--set ingest.dpi: expected key=value"),
        (
            "ingest.dpi=10",
            "--set: ingest.dpi: 10 is not possible; expected a whole number from 36 to 600; the nearest is 36",
        ),
        ("ingest.dpii=100", "--set: ingest.dpii: no such key; the nearest valid key is ingest.dpi"),
        ("sample.documents.many=100", "--set sample.documents.many: 'documents' is a value, not a section"),
        ("ingest.dpi=[", "--set ingest.dpi: not valid YAML"),
        ("index.retrievers=[bm25, bm26]", "--set: index.retrievers.1: 'bm26' is not possible"),
        (
            "agent.actions=[search, zoom]",
            "--set: agent.actions: search and answer must be among them, and each but once",
        ),
        ("agent.max_pixels=784", "agent: max_pixels must be min_pixels at least, and patch x patch"),
        ("=3", "no such key"),
    ],
)
def test_a_wrong_override_is_named(file: Path, override: str, said: str) -> None:
    assert said in refusal(file, {"sample": {"documents": 20}}, (override,))


@given(st.text() | st.text('{}[]:,"0123456789eE+-. nulltrefas'))
@example("9" * 5000)
@example("[" * 100_000)
@example("null")
def test_no_json_makes_a_traceback(text: str) -> None:
    assert_params_or_refusal(lambda: params.from_json(text), "params: ")


def assert_params_or_refusal(read: Callable[[], Params], source: str) -> None:
    try:
        read()
    except UnidocError as error:
        message = str(error)
    else:
        return
    assert message.startswith(source)


def test_the_paper_s_values_are_possible() -> None:
    paper = params.load(Path(__file__).parents[1] / "profiles" / "paper.yaml")
    assert (paper.grpo.group, paper.grpo.rate, paper.grpo.warmup, paper.grpo.kl) == (5, 1e-6, 0.285, 0.01)
    assert (paper.rewards.answer, paper.agent.max_pixels) == (0.6, 512 * 28 * 28)


def test_a_run_s_parameters_stand_over_its_profile_and_its_model_over_both() -> None:
    said = json.dumps({"grpo": {"steps": 5}, "sft": {"model": "mine"}})
    run = params.of_a_run(said, profile="paper")
    assert (run.grpo.steps, run.grpo.group, run.sft.deepspeed, run.sft.model) == (5, 5, "zero3", "mine")
    assert params.of_a_run(said, model="theirs", profile="paper").sft.model == "theirs"
    assert params.of_a_run(said) == params.from_json(said)
    with pytest.raises(UnidocError, match="profile: there is no papers; name one of learn, paper"):
        params.of_a_run(said, profile="papers")


def test_what_is_set_stands_over_a_profile_though_it_is_the_default(file: Path) -> None:
    everything = Params().model_dump() | {"grpo": Params().grpo.model_dump() | {"steps": 5}}
    file.write_text(yaml.safe_dump(everything))
    said = params.load(file, ["sft.deepspeed=none", "agent.widen=0", "sft.model=null"]).said()
    assert json.loads(said) == {
        "sft": {"deepspeed": "none", "model": None},
        "grpo": {"steps": 5},
        "agent": {"widen": 0},
    }
    run = params.of_a_run(said, profile="paper")
    assert (run.sft.deepspeed, run.agent.widen, run.sft.model) == ("none", 0, None)
    assert (run.grpo.steps, run.grpo.deepspeed, run.sft.epochs) == (5, "zero3", 3.0)


def test_the_bounds_of_a_number_are_told(file: Path) -> None:
    assert refusal(file, {"grpo": {"temperature": 0.0}}).endswith("expected a number above 0 to 5")
    assert refusal(file, {"sft": {"warmup": 1.0}}).endswith("expected a number from 0 below 1")
    assert refusal(file, {"promote": {"seconds": "x"}}).endswith("expected a number above 0 or null")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("sft.batch=4", "sft.together=3"), "sft: batch must be a multiple of together"),
        (("grpo.scale=rank", "grpo.credit=turn"), "grpo: ranks are of whole episodes"),
        (("sft.lora=8", "sft.deepspeed=zero3"), "sft: low-rank changes are so few"),
    ],
)
def test_what_does_not_go_together_is_told(overrides: tuple[str, ...], said: str) -> None:
    with pytest.raises(UnidocError, match=said):
        params.load(None, overrides)
