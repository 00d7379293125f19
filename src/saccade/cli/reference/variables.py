"""The environment variables that Saccade heeds, its own and those of the libraries below it."""

from __future__ import annotations

OWN = {
    "OPENAI_API_KEY": "The API key of the chat server of a policy or judge; `api_key_env` names "
    "another variable. Where it is not set, `EMPTY` is sent, which local servers take.",
    "SACCADE_SANDBOX_TOKEN": "The token or tokens of a sandbox server, parted by spaces: `saccade "
    "serve sandbox` asks its clients for one of them. The tool `python` shows it to remote hosts, "
    "and then it is one. `token_env` names another variable.",
    "SACCADE_ALLOW_ENV": "Names of further variables, with commas between them, that a run file "
    "may send to its servers; else it may name those that end in `_KEY` or `_TOKEN`.",
    "SACCADE_SEARCH_TOKEN": "The token of `saccade serve search` and of whoever asks it.",
    "SERPER_API_KEY": "The key of the search provider `serper`.",
    "SERPAPI_API_KEY": "The key of the search provider `serpapi`.",
    "BRAVE_API_KEY": "The key of the search provider `brave`.",
    "TAVILY_API_KEY": "The key of the search provider `tavily`.",
    "RANK": "Set by `torchrun` and `accelerate launch`: of several processes that train together, "
    "only the first reports progress and the result.",
    "LD_LIBRARY_PATH": "The only variable that reaches the process in which a sandbox runs code: "
    "the interpreter may need it to start.",
}
"""Name -> what it does. A test compares it with what the source reads."""

OF_LIBRARIES = {
    "OMP_NUM_THREADS": "Number of CPU threads of torch and numpy. 1 is best for the embedded "
    "models, and wherever several processes share the cores.",
    "CUDA_VISIBLE_DEVICES": "The accelerators that torch may see.",
    "HF_HOME": "Folder in which models of the Hugging Face hub are kept.",
    "HF_HUB_OFFLINE": "1: nothing is asked of the hub; a model must be there already.",
    "HF_TOKEN": "The token for models of the hub that need one.",
    "HTTPS_PROXY": "The proxy for chat servers; `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are "
    "heeded too. Servers on this machine and sandbox hosts are asked directly.",
    "COLUMNS": "Width of tables and help pages where no terminal says it.",
    "NO_COLOR": "Set to anything: output without colours.",
}
"""Name -> what it does, of variables that the libraries below read."""
