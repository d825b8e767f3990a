import httpx
import pytest

from bitshift_operator.cluster.answers import ask, judge


def completion(text):
    return {"choices": [{"message": {"content": text}}]}


async def asked(answer, **options):
    def handler(request):
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    requests = []
    async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as http:
        return await ask(http, "http://10.0.0.1:8080", model="chat", **options), requests


@pytest.mark.parametrize(
    "text",
    [
        "Paris.",
        "The capital of France is Paris.",
        "  La capitale est Paris, sur la Seine.\n",
        "法国的首都是巴黎。",
        "The answer is 42.",
    ],
)
def test_an_answer_in_words_is_sensible(text):
    assert judge(text).sensible


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("Paris \ufffd\ufffd", "not valid text"),
        ("!!!!!!!!", "no word"),
        ("the the the the the the the", "repeats one word"),
        ("0x1f 77 88 99 {}[]<> 4141 22 a", "mostly not letters"),
    ],
)
def test_garbage_is_told_from_words_by_what_is_wrong_with_it(text, why):
    assert not judge(text).sensible
    assert why in judge(text).why


async def test_a_pod_is_asked_by_the_name_that_it_serves_under_and_with_its_key():
    answer, (request,) = await asked(httpx.Response(200, json=completion("Paris.")), api_key="s3cret")

    assert answer.sensible
    assert request.url.path == "/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer s3cret"
    assert b'"model":"chat"' in request.content


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (httpx.Response(500), "HTTP status 500"),
        (httpx.Response(200, json={"choices": []}), "not a chat completion"),
        (httpx.Response(200, json=[1]), "not a chat completion"),
        (httpx.Response(200, json=completion(None)), "empty"),
        (httpx.Response(200, content=b"<html>"), "not a chat completion"),
        (httpx.ReadTimeout("slow"), "no answer: ReadTimeout"),
    ],
)
async def test_what_is_no_answer_is_told_and_never_raised(said, why):
    answer, _ = await asked(said)

    assert not answer.sensible
    assert why in answer.why


async def test_why_holds_nothing_of_the_answer():
    answer, _ = await asked(httpx.Response(200, json=completion("secret " * 12)))

    assert not answer.sensible and "secret" not in answer.why
