"""The first service.

    curl 'http://127.0.0.1:8080/hello?name=Ada'
"""

from pointsman import Service


class Hello(Service):
    """Greets whoever asks."""

    path = "/hello"

    def handle(self, request):
        """Answer with JSON."""
        return {"hello": request.params.get("name", "world")}
