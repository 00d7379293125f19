"""`saccade` in one process with a vLLM for CPUs that can be given new weights.

vLLM 0.32 packs the weights of linear layers for oneDNN and lets go of the originals
(`vllm/model_executor/layers/utils.py`, `dispatch_cpu_unquantized_gemm`), so that loading new ones
fails on a CPU, and only there. Without oneDNN it multiplies with the weights themselves.
"""

import vllm._custom_ops

from saccade.cli import main

if __name__ == "__main__":
    vllm._custom_ops._supports_onednn = False
    main()
