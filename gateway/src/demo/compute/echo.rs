//! A WebSocket that repeats what it is told.

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;

/// Larger messages end the connection.
const MAX_MESSAGE: usize = 1 << 20;

/// Accepts the sub-protocol `echo` if it is offered, and does without if not.
pub(super) async fn upgrade(upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols(["echo"])
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let is_said = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await.is_ok(),
            // Pings were answered before they got here, and a close ends the loop at the next turn.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => true,
        };
        if !is_said {
            break;
        }
    }
}
