import json
import logging

from bitshift_operator.controller.logs import JsonLines


def a_line(**extra):
    record = logging.LogRecord("bitshift_operator", logging.WARNING, "f.py", 1, "%s moved", ("acme",), None)
    vars(record).update(extra)
    return json.loads(JsonLines().format(record))


def test_a_record_is_one_json_object():
    line = a_line()

    assert (line["level"], line["message"], line["logger"]) == ("WARNING", "acme moved", "bitshift_operator")
    assert line["time"].endswith("+00:00")


def test_what_was_given_as_extra_is_printed():
    assert a_line(model="chat", seconds=3)["model"] == "chat"


def test_a_traceback_stays_within_the_line():
    try:
        raise ValueError("no")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)

    assert "ValueError: no" in a_line(exc_info=info)["traceback"]
