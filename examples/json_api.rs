//! A JSON API with state that all workers share: `cargo run --release --example json_api`, then
//! `curl -i http://127.0.0.1:8080/items -d '{"name":"tea","price":3}'` and `curl -i http://127.0.0.1:8080/items/1`.

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aurora_http::{ErrorResponse, Method, Request, ResponseWriter, ServerError, WriteError, collect_fn};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Item {
    name: String,
    price: u32,
}

/// The items by number, shared by all workers.
fn items() -> MutexGuard<'static, BTreeMap<u64, Item>> {
    static ITEMS: Mutex<BTreeMap<u64, Item>> = Mutex::new(BTreeMap::new());
    ITEMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(request: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Result<(), ApiError> {
    let path = str::from_utf8(request.path()).map_err(|_| not_found())?;
    let mut parts = path.trim_matches('/').split('/');
    let (Some("items"), id, None) = (parts.next(), parts.next(), parts.next()) else {
        return Err(not_found());
    };
    let id = id.map(|id| id.parse().map_err(|_| not_found())).transpose()?;
    match (request.method(), id) {
        (Method::Get | Method::Head, None) => json(response, 200, &*items()),
        (Method::Get | Method::Head, Some(id)) => json(response, 200, items().get(&id).ok_or_else(not_found)?),
        (Method::Post, None) => {
            let item: Item = serde_json::from_slice(content).map_err(|error| ApiError(422, error.to_string()))?;
            let mut items = items();
            let id = items.last_key_value().map_or(1, |(id, _)| id + 1);
            items.insert(id, item);
            response.add_field("Location", format!("/items/{id}"))?;
            json(response, 201, &id)
        }
        (Method::Delete, Some(id)) => {
            items().remove(&id).ok_or_else(not_found)?;
            Ok(response.status(204)?)
        }
        (_, id) => {
            response.add_field("Allow", if id.is_some() { "GET, HEAD, DELETE" } else { "GET, HEAD, POST" })?;
            Err(ApiError(405, "method not allowed".into()))
        }
    }
}

fn json<T: Serialize + ?Sized>(response: &mut ResponseWriter<'_>, status: u16, value: &T) -> Result<(), ApiError> {
    response.status(status)?;
    response.field("Content-Type", "application/json")?;
    response.body_with(|body| Ok(serde_json::to_writer(body, value)?))
}

/// A status and an error message.
struct ApiError(u16, String);

fn not_found() -> ApiError {
    ApiError(404, "no such item".into())
}

impl ErrorResponse for ApiError {
    fn respond(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.status(self.0)?;
        response.field("Content-Type", "application/json")?;
        response.body(serde_json::json!({ "error": self.1 }).to_string())
    }
}

impl<E: Error> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(500, error.to_string())
    }
}

fn main() -> Result<(), ServerError> {
    support::server("json_api: items at /items and /items/N; GET, POST, DELETE").serve(|_worker| collect_fn(answer))?;
    Ok(())
}
