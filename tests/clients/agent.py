"""An agent as its users write it: a program of PyPI livekit-agents that joins the room of each job and sings a tone.

`python agent.py start`, with LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET; AGENT_NAME, AGENT_TYPE (ROOM, PUBLISHER,
PARTICIPANT), AGENT_LOAD (0 to 1) and AGENT_HERTZ say what is special about it.
"""

import os

import numpy as np
from livekit import rtc
from livekit.agents import AgentServer, JobContext, JobProcess, JobRequest, WorkerType, cli

RATE = 48_000
HERTZ = int(os.environ.get("AGENT_HERTZ", "1000"))


def load() -> float:
    return float(os.environ.get("AGENT_LOAD", "0"))


def setup(process: JobProcess) -> None:
    """Nothing to load: this agent needs no model."""


# A slow machine may need a minute to start a process.
server = AgentServer(port=0, num_idle_processes=1, initialize_process_timeout=90, load_fnc=load, setup_fnc=setup)


async def accept(request: JobRequest) -> None:
    await request.accept(
        name="Tuning fork", identity=f"fork-{request.id}", metadata=request.job.metadata, attributes={"hertz": str(HERTZ)}
    )


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""), type=WorkerType[os.environ.get("AGENT_TYPE", "ROOM")], on_request=accept)
async def sing(job: JobContext) -> None:
    await job.connect()
    source = rtc.AudioSource(RATE, 1, queue_size_ms=200)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    await job.room.local_participant.publish_track(track, rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False))
    step, n = RATE // 50, 0
    while job.room.isconnected():
        t = (np.arange(step) + n * step) / RATE
        samples = (12_000 * np.sin(2 * np.pi * HERTZ * t)).astype(np.int16)
        await source.capture_frame(rtc.AudioFrame(samples.tobytes(), RATE, 1, step))
        n += 1


if __name__ == "__main__":
    cli.run_app(server)
