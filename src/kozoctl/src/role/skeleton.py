#!/usr/bin/env python3
"""The Role NAME: answers the Order `NAME`. The package python3-kozo speaks with the Node; `pydoc3 kozo` describes it."""

import kozo


@kozo.on("order", "NAME")
def answer(message):
    message.reply({"to": message.data})


kozo.run()
