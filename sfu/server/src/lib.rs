//! plenum-sfu: HTTP, WebSocket, server API, configuration and the wiring of all planes.
