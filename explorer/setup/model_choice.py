"""The choice of the model on Setup, and its size, type and device."""

from pathlib import Path

import streamlit as st

from ctsft.model.model import Model
from ctsft.runs.recorded_models import RecordedModel, recorded_models
from explorer.session import binding, receipts, recent, recording
from explorer.setup import recent_choice
from explorer.text.glossary import TERMS
from explorer.text.markdown import literal, short
from explorer.widgets import receipt

KINDS = {
    "bundled": "Bundled",
    "recorded": "Recorded",
    "hub": "Hub name",
    "folder": "Local folder",
}


def draw():
    view = binding.view()
    offered = [kind for kind in KINDS if kind != "recorded" or recorded_models()]
    st.radio(
        "Model",
        offered,
        format_func=KINDS.get,
        horizontal=True,
        **binding.bind("model_kind", open_kind),
        help=(
            "A causal language model, such as GPT-2, Llama, Mistral, Qwen, Gemma, Phi or OLMo, or"
            " an encoder with a classification head, such as BERT. The bundled model is small and"
            " needs no network. The recorded model is a real pretrained one: its scores and runs"
            " are shown without its weights, and nothing new can be computed with it."
        ),
    )
    if view.model_kind == "recorded" and (recorded := recorded_models().get(view.model)):
        about_recorded(recorded)
    if view.model_kind == "hub":
        st.text_input(
            "Name on the Hugging Face hub",
            placeholder="Qwen/Qwen2.5-0.5B",
            **binding.bind("hub", open_entered),
        )
    if view.model_kind == "folder":
        st.text_input(
            "Folder",
            placeholder="/path/to/model",
            **binding.bind("folder", open_entered),
            help=(
                "A Hugging Face folder with config.json, tokenizer files and *.safetensors."
                " Pickled weights are refused, because loading them can run code."
            ),
        )
    recent_choice.draw("models", "Recent models", open_recent)
    if view.model != entered() and view.model_kind != "recorded":
        what = "folder" if view.model_kind == "folder" else "name"
        st.info(
            f"Enter a model {what}. {literal(view.model)} is still in use.",
            icon=":material/edit:",
        )


def entered() -> str:
    """The model that the input fields name; "" while the field is empty."""
    view = binding.view()
    if view.model_kind == "bundled":
        return "demo"
    if view.model_kind == "recorded":
        return next(iter(recorded_models()), "")
    if view.model_kind == "hub":
        return view.hub.strip()
    folder = view.folder.strip()
    return str(Path(folder).expanduser()) if folder else ""


def open_entered():
    name = entered()
    if name and name != binding.view().model:
        binding.put(model=name)
        binding.forget_circuit()


def open_kind():
    """A recorded model comes with the task, the languages and the examples of its recording."""
    open_entered()
    if recorded := recording.current():
        recording.use_settings(recorded)


def about_recorded(recorded: RecordedModel):
    with receipt.covered("recording", [receipts.of_recording(recorded)]):
        st.caption(
            f"**{recorded.title}** ({recorded.licence}), recorded: explore without weights."
            f" {recorded.made}",
            help=recorded.why_not,
        )


def open_recent(name: str):
    binding.put(**recent.model_fields(name))
    open_entered()


def show_facts(model: Model):
    heads, groups, parameters, device = st.columns(4)
    heads.metric(
        "Heads",
        f"{model.n_layers * model.n_heads}",
        help=f"{model.n_layers} layers of {model.n_heads} attention heads.",
    )
    heads.caption(f"{model.n_layers} layers × {model.n_heads}")
    groups.metric("Key/value groups", f"{model.n_kv_heads}", help=TERMS["kv"])
    size = model.n_heads // model.n_kv_heads
    groups.caption("per layer; 1 head each" if size == 1 else f"per layer; {size} heads each")
    parameters.metric("Parameters", short(model.n_params), help=f"{model.n_params:,} parameters.")
    parameters.caption(f"type {model.model_type}")
    device.metric(
        "Device",
        "none" if model.device.type == "meta" else str(model.device),
        help="Where the model runs. Its number format (dtype) stands below.",
    )
    if model.device.type == "meta":
        device.caption("weights are not here")
        return
    device.caption(str(model.dtype).removeprefix("torch."))
