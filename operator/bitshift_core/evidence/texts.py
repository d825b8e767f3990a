"""A few short texts that any model knows something of: prose in several scripts, code, data, counting.

Neutral and of our own making; nothing of a user's. They are part of the numeric check's verdict and of its key.
"""

TEXTS = (
    (
        "Water boils at one hundred degrees Celsius at sea level. On a high mountain the pressure of the "
        "air is lower, so water boils at a lower temperature and food takes longer to cook."
    ),
    (
        "The train leaves the station at nine o'clock in the morning and arrives in the city at noon. "
        "Passengers are asked to be on the platform ten minutes before the train departs."
    ),
    (
        "To make bread you need flour, water, salt and yeast. Mix them in a large bowl, knead the dough "
        "for ten minutes, let it rise for an hour, and then bake it in a hot oven."
    ),
    (
        "Once upon a time there was a little girl who lived in a small house near the forest with her "
        "mother and father. Every morning she walked to school with her brother."
    ),
    (
        "Der Zug fährt um neun Uhr morgens vom Bahnhof ab und kommt am Mittag in der Stadt an. Die "
        "Reisenden werden gebeten, zehn Minuten vorher am Gleis zu sein."
    ),
    (
        "La Terre tourne autour du Soleil en une année. La Lune tourne autour de la Terre en un peu moins "
        "d'un mois, et sa lumière vient du Soleil."
    ),
    (
        "El agua es necesaria para la vida. Las plantas la toman del suelo, los animales la beben, y la "
        "lluvia la devuelve a los ríos y al mar."
    ),
    "水在一百度时沸腾，在零度时结冰。人们每天喝水，植物也需要水和阳光才能生长。",
    ("Вода кипит при ста градусах и замерзает при нуле. Люди, животные и растения не могут жить без воды."),
    (
        "def factorial(n):\n    if n == 0:\n        return 1\n    return n * factorial(n - 1)\n\n\nfor i "
        "in range(10):\n    print(i, factorial(i))\n"
    ),
    (
        '{"name": "Alice", "age": 30, "city": "Paris", "tags": ["a", "b", "c"], '
        '"active": true}\n{"name": "Bob", "age": 25, "city": "London", "tags": ["a", '
        '"b"], "active": false}\n'
    ),
    (
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12\n2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24\nMonday, "
        "Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday\n"
    ),
)
