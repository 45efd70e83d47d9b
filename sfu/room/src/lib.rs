//! The Room: participants, permissions, tracks and the LiveKit signal state machine.
