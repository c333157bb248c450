//! A JSON API with state that all workers share: `cargo run --release --example json_api`, then
//! `curl -i --json '{"name":"tea","price":3}' http://127.0.0.1:8080/items` and `curl -i http://127.0.0.1:8080/items/1`.

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use aurora_http::{ResponseWriter, ServerError};
use aurora_http_web::{Call, Problem, Routes, json};
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Item {
    name: String,
    price: u32,
}

/// The items by number, shared by all workers.
type Items = Arc<RwLock<BTreeMap<u64, Item>>>;

const NOT_FOUND: Problem = Problem::new(404, "there is no such item");

fn list(items: &mut Items, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    Ok(json::write(response, 200, &*items.read().unwrap())?)
}

fn show(items: &mut Items, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let items = items.read().unwrap();
    Ok(json::write(response, 200, items.get(&call.param("id")?).ok_or(NOT_FOUND)?)?)
}

fn create(items: &mut Items, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let (item, mut items) = (json::read(call)?, items.write().unwrap());
    let id = items.last_key_value().map_or(1, |(id, _)| id + 1);
    items.insert(id, item);
    response.add_field("Location", format!("/items/{id}"))?;
    Ok(json::write(response, 201, &id)?)
}

fn delete(items: &mut Items, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    items.write().unwrap().remove(&call.param("id")?).ok_or(NOT_FOUND)?;
    Ok(response.status(204)?)
}

fn main() -> Result<(), ServerError> {
    let items = Items::default();
    support::server("json_api: items at /items and /items/N; GET, POST, DELETE").serve(move |_worker| {
        let routes = const {
            Routes::new()
                .get("/items", list)
                .post("/items", create)
                .get("/items/:id", show)
                .delete("/items/:id", delete)
        };
        routes.with_state(items.clone()).on_refusal(Problem::refused)
    })?;
    Ok(())
}
