"""params.yaml as typed settings, one model a stage, under the stage's name.

What changes a result stands here; where things are read and written stands on the command line. A wrong key or
value is named before any work starts, with what was expected and the nearest valid one.
"""

from __future__ import annotations

import difflib
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo

from unidoc_rl.errors import UnidocError

DEFAULT_FILE = Path("params.yaml")
PROFILES = Path(__file__).with_name("profiles")  # files of parameters, under their names
MERGE = "tag:yaml.org,2002:merge"


_WITH_A_KEY = re.compile(r"://[^/\s]*@")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)  # strict: `true` is no number, `1` no switch

    @field_validator("*")
    @classmethod
    def _without_keys(cls, value: object) -> object:
        """They would be in runs and pipelines, for whoever may look at these."""
        if isinstance(value, str) and _WITH_A_KEY.search(value):
            raise ValueError(
                "the address carries a name or key; leave them out: KFP_TOKEN, MLFLOW_TRACKING_TOKEN and others have it"
            )
        return value


class SampleParams(Section):
    """The demonstration world: documents that look like what people have, and questions about them."""

    documents: int = Field(24, ge=10, le=10_000, description="how many PDF files")
    seed: int = Field(7, ge=0, lt=2**32, description="another seed is another world; the same seed, the same bytes")
    readable: float = Field(
        16.0,
        ge=0,
        description="type of fewer pixels than this, on a page as the agent is shown it, must be zoomed into; "
        "nano reads no smaller one, a model of 7 B reads 7",
    )


class IngestParams(Section):
    """Documents to pages."""

    dpi: int = Field(150, ge=36, le=600, description="resolution at which a PDF's pages are rendered")
    image_format: Literal["jpg", "png", "webp"] = Field("jpg", description="format of the page images")
    ocr: bool = Field(True, description="read pages without a text layer from their picture")
    layout: bool = Field(True, description="propose regions (tables, figures, headings …) on every page")
    max_pages: int = Field(10_000, ge=1, le=1_000_000, description="a longer document is left out")
    page_seconds: int = Field(120, ge=1, le=3600, description="a document with a page that takes longer is left out")
    may_leave_out: int = Field(0, ge=0, description="how many files may be left out before the stage has failed")


Retriever = Literal["bm25", "dense", "late"]


class IndexParams(Section):
    """Pages to what finds them."""

    retrievers: list[Retriever] = Field(
        ["bm25", "dense"], min_length=1, description="bm25 (words), dense (vectors of texts), late (of page images)"
    )
    encoder: str | None = Field(
        None, description="folder or hub name of dense's sentence encoder; MiniLM, in a package, where null"
    )
    late_encoder: str | None = Field(None, description="folder or hub name of late's ColQwen2 or ColPali model")
    fusion: Literal["weight", "rank"] = Field("weight", description="weighted scores, or weighted reciprocal ranks")
    weight_bm25: float = Field(1.0, ge=0, le=100, description="how much bm25 counts where several are fused")
    weight_dense: float = Field(0.5, ge=0, le=100, description="likewise dense")
    weight_late: float = Field(1.0, ge=0, le=100, description="likewise late")
    uri: str | None = Field(
        None,
        pattern=r"^(https?://.+|[^:]+\.db)$",
        description="of Milvus: http://host:19530, or a Lite folder.db; null: files of the index",
    )

    @field_validator("retrievers")
    @classmethod
    def _each_once(cls, given: list[Retriever]) -> list[Retriever]:
        if len(set(given)) < len(given):
            raise ValueError
        return given


ActionName = Literal["search", "select", "zoom", "answer"]


class AgentParams(Section):
    """The protocol between agent and environment; the same in every stage that plays."""

    actions: list[ActionName] = Field(
        ["search", "select", "zoom", "answer"],
        description="that the agent may take: search and answer, and select and zoom as one likes; without select, an "
        "episode earns nothing but by rewards.of outcome or vrag",
    )
    turns: int = Field(10, ge=1, le=100, description="after which an episode ends")
    turn_tokens: int = Field(256, ge=16, le=16_384, description="that a policy may write in a turn")
    context_tokens: int = Field(40_000, ge=256, le=10_000_000, description="of an episode, pictures included")
    pictures: int = Field(22, ge=1, le=1000, description="that an episode may hold")
    candidates: int = Field(3, ge=1, le=20, description="pages that a search shows")
    min_pixels: int = Field(64 * 28 * 28, ge=28 * 28, description="a picture is shown with at least so many")
    max_pixels: int = Field(512 * 28 * 28, ge=28 * 28, description="and at most so many")
    patch: int = Field(28, ge=1, le=256, description="sides of a picture as shown are multiples of this")
    regions: int = Field(8, ge=1, le=100, description="that a zoom may show at once")
    widen: int = Field(
        0, ge=0, le=1000, description="pixels, as shown, by which a region is widened, but not while it learns"
    )
    coordinates: Literal["pixels", "thousandths"] = Field(
        "pixels", description="how boxes are written: pixels of the picture as shown (Qwen2.5-VL), or 0-1000 (Qwen3-VL)"
    )

    @field_validator("actions")
    @classmethod
    def _it_can_search_and_answer(cls, given: list[ActionName]) -> list[ActionName]:
        if not {"search", "answer"} <= set(given) or len(set(given)) < len(given):
            raise ValueError("search and answer must be among them, and each but once")
        return given

    @model_validator(mode="after")
    def _pictures_have_room(self) -> AgentParams:
        if not self.patch**2 <= self.max_pixels >= self.min_pixels:
            raise ValueError("max_pixels must be min_pixels at least, and patch x patch")
        return self

    def longest(self) -> int:
        """Tokens of a conversation, with the turn that may end it."""
        return self.context_tokens + self.turn_tokens

    def learning(self) -> AgentParams:
        """For an agent that is to learn where a region ends."""
        return self.model_copy(update={"widen": 0})


class RewardParams(Section):
    """What an episode is worth."""

    of: Literal["unidoc", "outcome", "vrag", "gated"] = Field(
        "unidoc",
        description="dense rewards; answer alone (Search-R1); answer, NDCG, pattern (VRAG-RL); gated by answer",
    )
    judge: str = Field(
        "rules",
        pattern=r"^(rules|mmlongbench|(mmlongbench\+)?https?://.+)$",
        description="of answers: rules; MMLongBench-Doc's own scoring; the address of an OpenAI-compatible model, "
        "http://host:8000/v1#model; or mmlongbench+http://host:8000/v1#model: that scoring, of the short answers that "
        "the model pulls out of the agent's; an episode whose answer it does not tell is void",
    )
    answer: float = Field(0.6, ge=0, le=1, description="weight of the answer")
    search: float = Field(0.1, ge=0, le=1, description="of the order in which pages were found")
    select: float = Field(0.1, ge=0, le=1, description="of the pages chosen")
    region: float = Field(0.1, ge=0, le=1, description="of the regions drawn, or rightly not drawn")
    format: float = Field(0.1, ge=0, le=1, description="of the protocol kept")
    threshold: float = Field(0.5, ge=0, le=1, description="of the answer, from which the others count (gated)")


class CurateParams(Section):
    """Questions to trajectories that are worth learning from."""

    teacher: str | None = Field(
        None,
        pattern=r"^https?://.+$",
        description="vision model that plays, http://host:8000/v1#model; null: what the annotations say is played",
    )
    at_once: int = Field(
        64, ge=1, le=256, description="episodes that the teacher plays at the same time, in all shards together"
    )
    per_minute: float | None = Field(
        None,
        gt=0,
        description="likewise, requests that it, and judge and weak policy at its address, may be sent; any where null",
    )
    questions: int = Field(
        200, ge=1, le=1_000_000, description="that the teacher writes where none are given; checks leave fewer"
    )
    unanswerable: float = Field(0.1, ge=0, le=1, description="share of them that ask for what no document says")
    seed: int = Field(1, ge=0, lt=2**32, description="of the order of candidates and of what the teacher varies")
    attempts: int = Field(1, ge=1, le=64, description="at each question")
    detours: float = Field(
        0.1, ge=0, le=1, description="share with a poor first query, and with a wrong page that is left again"
    )
    right: float = Field(1.0, ge=0, le=1, description="what an answer must be worth to be learned from")
    turns: int = Field(10, ge=1, le=100, description="of a trajectory, at most")
    tokens: int = Field(4000, ge=16, le=1_000_000, description="that the agent wrote in it, at most")
    balance: float = Field(
        3.0,
        ge=1,
        le=1000,
        description="times the mean that a kind or a document may have; places among candidates come out even",
    )
    weak: str | None = Field(
        None, description="policy that rates each question by how often it is right; none is rated where null"
    )
    plays: int = Field(4, ge=2, le=64, description="of each question by the weak policy")
    sft_least: float = Field(0.0, ge=0, le=1, description="share of these that must be right, of what is imitated")
    sft_most: float = Field(0.99, ge=0, le=1, description="and that may be; 0.99 leaves out what is always right")
    rl_least: float = Field(
        0.01, ge=0, le=1, description="likewise, of questions for rewards; 0.01 leaves out what is never right"
    )
    rl_most: float = Field(0.99, ge=0, le=1, description="likewise")
    may_leave_out: int = Field(0, ge=0, description="how many questions may be unplayable before the stage has failed")

    @model_validator(mode="after")
    def _bands_have_room(self) -> CurateParams:
        if self.sft_least > self.sft_most or self.rl_least > self.rl_most:
            raise ValueError("sft_least must be sft_most at most, and rl_least rl_most")
        return self


DeepSpeed = Literal["none", "zero2", "zero3"]


def _check_shared(params: SftParams | GrpoParams) -> None:
    if params.lora and params.deepspeed == "zero3":
        raise ValueError("low-rank changes are so few that nothing is gained by zero3: lora goes with none or zero2")


class SftParams(Section):
    """Trajectories to a policy that imitates them."""

    model: str | None = Field(None, description="folder or hub name to begin with; nano, in this package, where null")
    seed: int = Field(1, ge=0, lt=2**32, description="of the order of the trajectories")
    epochs: float = Field(1.0, gt=0, le=1000, description="how often each trajectory is seen")
    batch: int = Field(2, ge=1, le=4096, description="trajectories to a step, on each device")
    together: int = Field(
        1, ge=1, le=4096, description="of these, how many are in memory at once; divides batch; 1 is quickest on a CPU"
    )
    rate: float = Field(4e-5, gt=0, le=1, description="of learning, at its highest; 1e-5 for a model of 3 B or 7 B")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the rate rises")
    frozen: bool = Field(True, description="the vision tower and its projector stay as they are")
    lora: int = Field(0, ge=0, le=1024, description="rank of the changes to weights that alone are learned; 0: weights")
    deepspeed: DeepSpeed = Field("none", description="under torchrun: what is shared out, zero2 or zero3; or none")
    save_steps: int = Field(50, ge=1, description="steps from one checkpoint to the next")

    @model_validator(mode="after")
    def _batches_come_out_even(self) -> SftParams:
        if self.batch % self.together:
            raise ValueError("batch must be a multiple of together")
        _check_shared(self)
        return self


class GrpoParams(Section):
    """A policy and questions to a better policy, by its rewards."""

    seed: int = Field(1, ge=0, lt=2**32, description="of the order of questions and of what is drawn")
    steps: int = Field(8, ge=1, le=1_000_000, description="of learning")
    questions: int = Field(2, ge=1, le=4096, description="to a step, on each device")
    group: int = Field(4, ge=2, le=64, description="episodes to a question")
    together: int = Field(1, ge=1, le=4096, description="episodes learned from at once; 1 is quickest on a CPU")
    temperature: float = Field(1.0, gt=0, le=5, description="at which turns are drawn")
    rate: float = Field(2e-4, gt=0, le=1, description="of learning, at its highest; 1e-6 for a model of 3 B or 7 B")
    warmup: float = Field(0.285, ge=0, lt=1, description="share of the steps in which the rate rises")
    kl: float = Field(0.01, ge=0, le=10, description="weight of the divergence from the model that it begins with")
    clip: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="how far a token's probability may have moved since it was played; where each step is learned from "
        "once, as here, none has",
    )
    scale: Literal["group", "none", "kind", "rank"] = Field(
        "group",
        description="of advantages: by the group's deviation; not at all, nor by the length of an episode (Dr. GRPO); "
        "by the running one of the kind of question (EMA-GRPO); ranks to normal quantiles (G2RPO)",
    )
    credit: Literal["episode", "turn"] = Field(
        "episode", description="one advantage for all of an episode, or each turn's, of the rewards it could influence"
    )
    server: str | None = Field(
        None,
        description="a vLLM server that plays, http://host:8000/v1, and sees the folder that is made; what learns "
        "plays itself where null",
    )
    frozen: bool = Field(True, description="the vision tower and its projector stay as they are")
    lora: int = Field(0, ge=0, le=1024, description="rank of the changes to weights that alone are learned; 0: weights")
    deepspeed: DeepSpeed = Field("none", description="under torchrun: what is shared out, zero2 or zero3; or none")
    save_steps: int = Field(8, ge=1, description="from one checkpoint to the next, each played on the validation")
    best: Literal["accuracy", "reward"] = Field("accuracy", description="on the validation, by which one is kept")

    @model_validator(mode="after")
    def _it_comes_out_even(self) -> GrpoParams:
        if self.questions * self.group % self.together:
            raise ValueError("together must divide questions x group")
        if self.scale == "rank" and self.credit == "turn":
            raise ValueError("ranks are of whole episodes: scale rank goes with credit episode")
        _check_shared(self)
        return self


BaselineName = Literal["rag", "react", "vrag", "oracle"]


class EvaluateParams(Section):
    """A policy to how well it answers."""

    baselines: list[BaselineName] = Field(
        [],
        description="the same policy with less to do: rag (one search, answer), react (search, answer), vrag (search, "
        "zoom, answer), oracle (gold pages, answer)",
    )
    at_once: int = Field(16, ge=1, le=4096, description="episodes that are played together")
    price_read: float = Field(
        0.0,
        ge=0,
        description="of a million tokens that a policy reads, pictures included, in your money; with it, the report "
        "tells what a question costs",
    )
    price_written: float = Field(0.0, ge=0, description="likewise, of a million that it writes")


class PromoteParams(Section):
    """An evaluated policy to the registry, and past its gates to the alias `champion`."""

    name: str = Field(
        "document-agent",
        max_length=200,
        pattern=r"^[^/:.%\"']+$",  # MLflow takes no others
        description="of the model in the registry, without dots, slashes, colons, quotes and percent signs",
    )
    minimum: float = Field(0.0, ge=0, le=1, description="accuracy that it must reach")
    gain: float = Field(
        0.0, ge=-1, le=1, description="over the champion, that its interval must lie above; on the same questions"
    )
    worse: float = Field(0.1, ge=0, le=1, description="by how much a kind of question may be worse than the champion's")
    void: float = Field(0.05, ge=0, le=1, description="share of episodes that may be void")
    seconds: float | None = Field(None, gt=0, description="that a question may take, on average; any where null")


class PipelineParams(Section):
    """What the tasks of the Kubeflow pipeline run in, and on."""

    namespace: str | None = Field(None, description="of your Kubeflow profile, where it serves several users")
    service_account: str | None = Field(
        None, description="of that namespace, as which the tasks run; the one that Kubeflow gives them where null"
    )
    registry: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*$",  # else a pod would wait for its image for ever
        description="that has the images of `make images`, such as registry/team; the nodes themselves where null",
    )
    memory: str = Field("16Gi", pattern=r"^[1-9]\d*[MGT]i$", description="that a task may use, at most")
    gpus: int = Field(0, ge=0, le=16, description="of each task, or each node, that trains or plays; 0: its CPUs")
    shared_memory: str = Field("16Gi", pattern=r"^[1-9]\d*[MGT]i$", description="of a task that has GPUs")
    nodes: int = Field(
        0,
        ge=0,
        le=1024,
        description="over which sft and grpo are spread, by Kubeflow Trainer; 0: a task like any other",
    )
    shards: int = Field(
        1, ge=1, le=1000, description="of the documents and of the questions, each ingested or curated by its own task"
    )
    hours: float = Field(24.0, gt=0, le=8760, description="that training on these nodes may take; then it is ended")


class ServiceParams(Section):
    """Servers that are used where named; `unidoc doctor` asks each of them whether it is there."""

    mlflow: str | None = Field(
        None, pattern=r"^(https?://.+|sqlite:///.+)$", description="http://host:5000; a local sqlite file where null"
    )
    s3: str | None = Field(
        None, description="s3://bucket/prefix that must be readable; server and keys come from AWS_*"
    )
    endpoint: str | None = Field(None, description="http://host:8000/v1, an OpenAI-compatible model")
    kfp: str | None = Field(None, description="http://host:8888, the Kubeflow Pipelines API")


class Params(Section):
    sample: SampleParams = SampleParams()
    ingest: IngestParams = IngestParams()
    index: IndexParams = IndexParams()
    curate: CurateParams = CurateParams()
    sft: SftParams = SftParams()
    grpo: GrpoParams = GrpoParams()
    evaluate: EvaluateParams = EvaluateParams()
    promote: PromoteParams = PromoteParams()
    agent: AgentParams = AgentParams()
    rewards: RewardParams = RewardParams()
    pipeline: PipelineParams = PipelineParams()
    services: ServiceParams = ServiceParams()

    def to_json(self) -> str:
        """One text that carries every parameter, for a Kubeflow pipeline: those that are as by default are left out."""
        return self.model_dump_json(exclude_defaults=True)

    def said(self) -> str:
        """One text of those that somebody has said, which is what a profile does not change."""
        return self.model_dump_json(exclude_unset=True)


def load(file: Path | None = None, overrides: Sequence[str] = ()) -> Params:
    """The parameters of a file (./params.yaml, if it is there, where none is named), changed by `key=value` texts.

    Said is what differs from the defaults, since params.yaml has every key, and what such a text names, whatever it is.
    """
    if file is None and not DEFAULT_FILE.exists():
        return _validate({}, "defaults", overrides)
    source = file or DEFAULT_FILE
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnidocError(f"{source}: cannot be read ({error}); name a parameter file with --params") from error
    data = _parse_yaml(text, str(source))
    whole = _validate({} if data is None else data, str(source), overrides)
    return _validate(whole.model_dump(exclude_defaults=True), str(source), overrides)


def from_json(text: str, source: str = "params") -> Params:
    """The parameters of a JSON text; what it leaves out has its default."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnidocError(f"{source}: not JSON ({error}); expected an object such as {{}}") from error
    return _validate(data, source, ())


def of_a_run(text: str, model: str = "", profile: str = "") -> Params:
    """Those of a pipeline's run: what a JSON text says; where it says nothing, of the profile of this name.

    `model`: what sft begins with, whatever they say. Empty, neither is meant.
    """
    given = [from_json(text)]
    if profile:
        known = sorted(path.stem for path in PROFILES.glob("*.yaml"))
        if profile not in known:
            raise UnidocError(f"profile: there is no {profile}; name one of {', '.join(known)}")
        given.insert(0, load(PROFILES / f"{profile}.yaml"))
    whole: dict[str, dict[str, Any]] = {"sft": {}}
    for one in given:
        for name, section in one.model_dump(exclude_unset=True).items():
            whole[name] = {**whole.get(name, {}), **section}
    if model:
        whole["sft"]["model"] = model
    return _validate(whole, "params", ())


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once; a second one would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != MERGE]
        for key in keys:
            if keys.count(key) > 1 or not isinstance(key, str):
                problem = "stands twice" if keys.count(key) > 1 else "is no text"
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} {problem}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep=True)


# To PyYAML, 1e-6 is a text; to people, to DVC and in JSON it is a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$", re.ASCII), [*"-+.0123456789"]
)


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError) as error:
        # Beside YAMLError, what PyYAML lets through: an impossible date, a number of 5000 digits, `!!bool maybe` …
        raise UnidocError(f"{source}: not valid YAML: {error}") from error


def _validate(data: Any, source: str, overrides: Sequence[str]) -> Params:
    if not isinstance(data, dict):
        raise UnidocError(f"{source}: expected sections ({', '.join(Params.model_fields)}), found {data!r}")
    overridden = dict(_split_override(text) for text in overrides)
    for key, value in overridden.items():
        _put(data, key, value)
    try:
        return Params.model_validate(data)
    except ValidationError as error:
        raise UnidocError("\n".join(_explain(error, source, overridden))) from None


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UnidocError(f"--set {text}: expected key=value, for example --set ingest.dpi=200")
    return key.strip(), _parse_yaml(value, f"--set {key}") if value.strip() else None


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        inner = data.setdefault(section, {})
        if not isinstance(inner, dict):
            raise UnidocError(f"--set {key}: {section!r} is a value, not a section")
        data = inner
    data[name] = value


def _explain(error: ValidationError, source: str, overridden: Mapping[str, Any]) -> Iterator[str]:
    fields = dict(_fields(Params))
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        where = "--set" if any(known in overridden for known in _prefixes(problem["loc"])) else source
        if problem["type"] == "extra_forbidden":
            yield f"{where}: {key}: no such key{_nearest_key(key, fields)}"
            continue
        if problem["type"] == "value_error" and (reason := str(problem["ctx"]["error"])):  # in our own words
            yield f"{where}: {key}: {reason}"
            continue
        known = next(known for known in _prefixes(problem["loc"]) if known in fields)
        given = problem["input"]
        yield f"{where}: {key}: {given!r} is not possible; expected {_expected(fields[known], given)}"


def _prefixes(location: Sequence[int | str]) -> Iterator[str]:
    """The key itself, then what it stands in: of an item the list, of a value its section."""
    for length in range(len(location), 0, -1):
        yield ".".join(str(part) for part in location[:length])


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        yield prefix + name, field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")


def _nearest_key(key: str, fields: Mapping[str, FieldInfo]) -> str:
    leaf = key.rsplit(".", 1)[-1]
    same_name = [known for known in fields if known.rsplit(".", 1)[-1] == leaf]
    near = same_name or difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
    return f"; the nearest valid key is {near[0]}" if near else f"; valid keys: {', '.join(fields)}"


def possible(field: FieldInfo) -> str:
    """What it is where nothing is said, as params.yaml and --set have it; and, of one of several names, the others."""
    value = field.get_default(call_default_factory=True)
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    if typing.get_origin(field.annotation) is Literal:
        return f"{value}; or {', '.join(other for other in typing.get_args(field.annotation) if other != value)}"
    return value if isinstance(value, str) else json.dumps(value)


def _expected(field: FieldInfo, given: Any) -> str:
    annotation = field.annotation
    if typing.get_origin(annotation) is Literal:
        choices = [str(choice) for choice in typing.get_args(annotation)]
        near = difflib.get_close_matches(str(given), choices, n=1, cutoff=0.0)
        return f"one of {', '.join(choices)}" + (f"; the nearest is {near[0]}" if near else "")
    if typing.get_origin(annotation) is list:
        (item,) = typing.get_args(annotation)
        return f"a list of one or more of {', '.join(typing.get_args(item))}, each once"
    if annotation is bool:
        return "true or false"
    if annotation is float or annotation == float | None:
        return f"a number{_range(field)}" + (" or null" if annotation is not float else "")
    if annotation is int:
        low, high = _bound(field, "ge"), _bound(field, "le")
        below = _bound(field, "lt")
        high = below - 1 if below is not None else high
        span = f" from {low} to {high}" if high is not None else f" of at least {low}"
        return f"a whole number{span}{_nearest_number(given, low, high)}"
    if annotation is str or typing.get_origin(annotation) is types.UnionType:
        return f"a text{'' if annotation is str else ' or null'} ({field.description})"
    return f"a section with the keys {', '.join(_section_keys(annotation))}"


def _range(field: FieldInfo) -> str:
    words = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
    return "".join(f" {word} {bound}" for kind, word in words.items() if (bound := _bound(field, kind)) is not None)


def _bound(field: FieldInfo, kind: str) -> Any:
    return next((bound for item in field.metadata if (bound := getattr(item, kind, None)) is not None), None)


def _nearest_number(given: Any, low: int | None, high: int | None) -> str:
    if not isinstance(given, int | float) or isinstance(given, bool) or given != given or abs(given) == float("inf"):
        return ""
    nearest = round(given)
    nearest = max(nearest, low) if low is not None else nearest
    nearest = min(nearest, high) if high is not None else nearest
    return f"; the nearest is {nearest}"


def _section_keys(annotation: Any) -> list[str]:
    return list(annotation.model_fields)
