//! A port that is served on a thread of its own, so that it answers however busy rooms and clients keep the others.

use std::{io, thread};

use actix_web::dev::{Server, ServerHandle};
use tokio::sync::oneshot;

/// The thread of a port.
#[derive(Debug)]
pub struct Port {
    server: ServerHandle,
}

impl Port {
    /// Serves what `build` makes on a new thread of this name.
    ///
    /// # Errors
    /// The thread or the listener can't be used.
    pub fn start(
        name: &'static str,
        build: impl FnOnce() -> io::Result<Server> + Send + 'static,
    ) -> io::Result<Self> {
        let (started, start) = oneshot::channel();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                actix_web::rt::System::new().block_on(async move {
                    let server = match build() {
                        Ok(server) => server,
                        Err(error) => {
                            let _ = started.send(Err(error));
                            return;
                        }
                    };
                    let _ = started.send(Ok(server.handle()));
                    if let Err(error) = server.await {
                        tracing::error!(%error, port = name, "a port has failed");
                    }
                });
            })?;
        let server = start
            .blocking_recv()
            .map_err(|_| io::Error::other(format!("the thread of the {name} port has died")))??;
        Ok(Self { server })
    }

    /// Stops to answer.
    pub async fn stop(&self) {
        self.server.stop(false).await;
    }
}
