// src/main.rs
mod page_views;

use std::{env, error::Error, time::Duration};

use axum::{Router, middleware, response::Html, routing::get};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (views, delivery) = page_views::start();
    let app = Router::new()
        .route("/", get(|| async { Html("<h1>Hello</h1>") }))
        .layer(middleware::from_fn_with_state(views, page_views::record));

    let address = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    let stop = async move {
        terminated.recv().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    // What waits has 10 seconds more.
    time::timeout(Duration::from_secs(10), delivery).await??;
    Ok(())
}
