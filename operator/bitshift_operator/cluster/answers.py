"""Whether a pod answers a prompt sensibly: engines say healthy while they answer garbage."""

import re
from dataclasses import dataclass

import httpx

PROMPT = "What is the capital of France? Answer in one short sentence."
ANSWER_SECONDS = 60.0
TOKENS = 24


@dataclass(frozen=True)
class Answer:
    """Whether an answer can be believed to come from a working model, and if not, why; never the answer itself."""

    sensible: bool
    why: str = ""


async def ask(http: httpx.AsyncClient, url: str, *, model: str, api_key: str = "") -> Answer:
    """Send one prompt to one pod."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "temperature": 0,
    }
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        response = await http.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=ANSWER_SECONDS)
        if not response.is_success:
            return Answer(False, f"HTTP status {response.status_code}")
        text = response.json()["choices"][0]["message"]["content"] or ""
    except httpx.HTTPError as error:
        return Answer(False, f"no answer: {type(error).__name__}")
    except (KeyError, IndexError, TypeError, ValueError):
        return Answer(False, "the answer is not a chat completion")
    return judge(text)


def judge(text: str) -> Answer:
    """Return whether a text looks like words: a weak bar on purpose, the gates are the strong one."""
    stripped = text.strip()
    if not stripped:
        return Answer(False, "the answer is empty")
    if "�" in stripped:
        return Answer(False, "the answer is not valid text")
    words = re.findall(r"\w+", stripped)
    if not words:
        return Answer(False, "the answer holds no word")
    if len(words) >= 6 and len({word.lower() for word in words}) <= 2:
        return Answer(False, "the answer repeats one word")
    letters = sum(character.isalpha() or character.isspace() for character in stripped)
    if letters < 0.6 * len(stripped):
        return Answer(False, "the answer is mostly not letters")
    return Answer(True)
