"""A request of each kind, with no setting at its default."""

from ctsft.jobs.requests import (
    AdviseRequest,
    Checks,
    DiscoverRequest,
    ExportRequest,
    FaithfulnessRequest,
    FinetuneRequest,
    RescoreRequest,
    ScoreRequest,
    Scoring,
    Subject,
    SurrogateRequest,
    TuneConfig,
    Tuning,
    UndoRequest,
    ValidateRequest,
)

SUBJECT = Subject("some/model", "task.json", "data folder", "javanese", "valid", "cpu", "float64")


SCORING = Scoring(
    size=7,
    seed=3,
    method="ig",
    attention="frozen",
    score="magnitude",
    positions="readout",
    batch_tokens=512,
    max_memory="4GB",
    rules="symmetric",
    normalise="layer",
    steps=9,
    objective="strength",
    passes=64,
)


CONFIG = TuneConfig(
    epochs=2.5,
    learning_rate=1.23456789e-4,
    batch_size=3,
    accumulate=2,
    seed=7,
    weight_decay=0.1,
    max_grad_norm=0.5,
    hold=0.9,
    replay=8,
    ewc=0.3,
    l2=0.2,
    kl=0.1,
    precision="bf16",
    kv="expand",
    norms=False,
    extra=("*.mlp.down_proj.*", "*.bias"),
    lora_rank=2,
    lora_alpha=3.0,
    lora_targets=("o", "up"),
    eval_every=4,
    checkpoint_every=5,
    report_to="wandb",
)


TUNING = Tuning(
    target="english",
    what="near_zero",
    circuit="my circuit.json",
    scores="a-run",
    k=4,
    n=12,
    eval_split="valid",
    save_model=True,
    related=("indonesian", "acehnese"),
    final_split="test",
    pool="B",
    base="some/base",
    advice="advice.csv",
    shares=False,
    related_tasks=("topic.json:indonesian", "xnli"),
    perplexity=True,
    text="my text.txt",
)


REQUESTS = [
    ScoreRequest(),
    ScoreRequest(name="a name", subject=SUBJECT, scoring=SCORING, preview=True, cache=False),
    ScoreRequest(scoring=Scoring(adaptive=True, k=3)),
    ScoreRequest(scoring=Scoring(method="ablation", certified=True, k=3)),
    ScoreRequest(by_position=True, heads=("L2.H1", "L0.H3")),
    ScoreRequest(scoring=Scoring(k=3), by_position=True),
    ScoreRequest(scoring=Scoring(method="learned", objective="strength", passes=64), roles=True),
    DiscoverRequest(),
    DiscoverRequest(
        subject=SUBJECT,
        scoring=Scoring(size=7, seed=3, attention="frozen", rules="symmetric", adaptive=True),
        depth=2,
        fraction=0.1,
        cache=False,
    ),
    FaithfulnessRequest(scores="a-run"),
    FaithfulnessRequest(
        subject=SUBJECT, scores="s.safetensors", circuit="c.json", sizes=(1, 2, 8), n_random=3
    ),
    SurrogateRequest(scores="a-run"),
    SurrogateRequest(
        subject=SUBJECT, scores="s.safetensors", circuits=40, rows=9, seed=3, cache=False
    ),
    ValidateRequest(),
    ValidateRequest(
        subject=SUBJECT,
        checks=Checks(methods=("cdt", "ig 9 steps"), size=7, seed=3, rows=9, n_random=4, pools=0),
        rows_split="test",
    ),
    AdviseRequest(target="javanese"),
    AdviseRequest(subject=SUBJECT, target="english", k=3, n=9, pool="B", damping=0.3, seed=5),
    FinetuneRequest(tuning=Tuning(target="javanese")),
    FinetuneRequest(
        name="x y",
        subject=SUBJECT,
        scoring=Scoring(7, 3, "atp", "frozen"),
        tuning=TUNING,
        config=CONFIG,
    ),
    RescoreRequest(tuned="a-run"),
    RescoreRequest(
        tuned="a-run",
        scoring=Scoring(7, 3, "atp", "frozen", positions="readout", rules="symmetric"),
        k=3,
        cache=False,
    ),
    UndoRequest(tuned="a-run"),
    UndoRequest(
        tuned="a-run",
        heads=("L2.H1", "L0.H3"),
        most=4,
        step=2,
        most_lost=0.1,
        most_undone=0.5,
        seed=3,
        final_split=None,
    ),
    ExportRequest(tuned="a-run", to="a folder", share=0.25),
    ExportRequest(tuned="a-run", to="a folder", format="importances"),
]
