from bitshift_runtime.evaluate.endpoint import Endpoint
from bitshift_runtime.evaluate.introspection import CHATS, TEXTS, context_tokens, introspect
from tests.fake_openai import FakeEngine, serving


async def test_an_endpoint_is_described_by_what_it_says_and_does():
    engine = FakeEngine(context_tokens=4096)
    async with serving(engine), Endpoint("candidate", engine.side, request_seconds=5) as endpoint:
        seen = await introspect(endpoint)

    assert seen.served_models == ("m",)
    assert seen.context_tokens == 4096
    assert seen.template_digest is not None
    assert seen.template_digest.startswith("sha256:")
    assert seen.text_tokens is not None
    assert len(seen.text_tokens) == len(TEXTS)
    assert seen.chat_tokens is not None
    assert len(seen.chat_tokens) == len(CHATS)
    assert seen.answer_failure == ""


async def test_what_an_engine_does_not_say_stays_unknown():
    engine = FakeEngine(context_tokens=None, template=None, tokenizer_offset=None, status=lambda prompt: 500)
    async with serving(engine), Endpoint("candidate", engine.side, request_seconds=5) as endpoint:
        seen = await introspect(endpoint)

    assert (seen.context_tokens, seen.template_digest, seen.text_tokens, seen.chat_tokens) == (None,) * 4
    assert seen.answer_failure == "HTTP 500"


def test_llama_cpp_tells_the_context_of_one_slot():
    card = {"id": "m", "meta": {"n_ctx": 2048, "n_ctx_train": 8192}}

    assert context_tokens(card, {"default_generation_settings": {"n_ctx": 1024}}) == 1024
    assert context_tokens(card, {}) == 2048
    assert context_tokens({"max_model_len": 512}, {}) == 512
    assert context_tokens({}, {}) is None
