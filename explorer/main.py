"""The circuit explorer: its pages, and the sidebar that leads through them. Streamlit runs this
file for every answer; app.py is the server around it.
"""

import sys
from pathlib import Path

import streamlit as st

ROOT = str(Path(__file__).resolve().parents[1])  # the folder of both packages
if ROOT not in sys.path:  # Streamlit adds only the folder of the script
    sys.path.insert(0, ROOT)

from ctsft import runs  # noqa: E402
from explorer import sidebar  # noqa: E402
from explorer.present import covered_page  # noqa: E402
from explorer.session import arrival, binding, early_experiment, errors, warm  # noqa: E402
from explorer.session.page_choices import Compare, Experiment  # noqa: E402
from explorer.widgets import keep_zoom, page_address, receipt, stored_map  # noqa: E402

SIDEBAR_WIDTH = 244  # pixels

PAGES = {  # name, also the address and the folder of the page -> its title and icon
    "setup": ("Setup", ":material/tune:"),
    "relevance": ("Relevance", ":material/grid_on:"),
    "circuit": ("Circuit", ":material/hub:"),
    "finetune": ("Fine-tune", ":material/model_training:"),
    "compare": ("Compare", ":material/compare_arrows:"),
}


@st.cache_resource(show_spinner=False)
def prepare_jobs() -> bool:
    """Once in a server: what jobs need is imported, so that they start at once."""
    warm.leave_to_the_end()
    return runs.prepare()


st.set_page_config(
    page_title="Circuit explorer",
    page_icon="🧭",
    layout="wide",
    initial_sidebar_state=SIDEBAR_WIDTH,
)
st.html(Path(__file__).with_name("static") / "style.css")

pages = {
    name: st.Page(f"{name}/page.py", url_path=name, title=title, icon=icon, default=name == "setup")
    for name, (title, icon) in PAGES.items()
}
page = st.navigation(list(pages.values()), position="hidden")
arrival.note(page.url_path)
# runs, and the map of stored scores, are drawn while torch is not imported yet
query = st.query_params.to_dict()
cold = not warm.is_ready()
stored = stored_map.find(query) if cold and page.url_path in stored_map.PAGES else None
table = page == pages["compare"] and "present" not in query and not binding.view().present
form = early_experiment.opened(query) if cold and page == pages["finetune"] else None
story = page == pages["setup"] and not query
first_screen = cold and (stored is not None or table or form is not None or story)
if not first_screen:
    warm.load()
    page_address.read()
elif table:
    page_address.read_choices(Compare)
elif form is not None:
    page_address.read_choices(Experiment, form)
presenting = not first_screen and covered_page.is_presenting(page.url_path)
with errors.guarded():
    sidebar.draw(pages, known=not first_screen)
with st.sidebar:
    with st.container(horizontal=True, vertical_alignment="center"):
        page_address.copy_button()
        if not first_screen:
            from explorer.present import screen  # torch: not for the first screen

            screen.button(page.url_path)
    keep_zoom.keep()
    receipt.close_cards()

try:
    with errors.guarded():
        if presenting:
            screen.draw()
        elif stored:
            stored_map.draw(stored, page.title)
        else:
            page.run()
finally:  # behind the first page: importing torch a second time would delay it
    if errors.is_rerun(sys.exc_info()[1]):
        pass  # it leads to another page: whatever asks for a rerun here would replace that
    elif first_screen:
        warm.watch()
    else:
        with st.sidebar:
            page_address.write(page.url_path, [one for one in PAGES if one != page.url_path])
        prepare_jobs()
