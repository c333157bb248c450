//! A small shop: routes, a form, a cookie, a password-protected part, and middleware.
//! `cargo run --release --example web`, then `curl -i http://127.0.0.1:8080/`.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aurora_http::{ResponseWriter, ServerError};
use aurora_http_web::cookie::{self, SetCookie};
use aurora_http_web::form::Form;
use aurora_http_web::middleware::{
    AccessLog, Authenticate, BodyLimit, ETags, RequestId, SecurityFields, Wrap, basic_credentials, is_same_secret,
};
use aurora_http_web::{Call, Problem, Routes};

/// The state of a worker. It needs no lock: the goods never change, visits are counted per worker, and the number of orders is an
/// atomic that all workers share.
struct Shop {
    goods: Arc<[(&'static str, u32)]>,
    visits: u64,
    orders: Arc<AtomicU64>,
}

fn home(shop: &mut Shop, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    shop.visits += 1;
    let last = cookie::get(call, "last").unwrap_or("nothing yet");
    Ok(response.body_fmt(format_args!("{} goods; you looked at {last}\n", shop.goods.len()))?)
}

fn show(shop: &mut Shop, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let id: usize = call.param("id")?;
    let (name, price) = shop.goods.get(id).ok_or(Problem::new(404, "there is no such thing"))?;
    SetCookie::new("last", name).max_age_s(86_400).write(response)?;
    Ok(response.body_fmt(format_args!("{name} for {price}\n"))?)
}

fn order(shop: &mut Shop, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let form = Form::of(call)?;
    let (id, count): (usize, u64) = (form.parse("id")?, form.parse_or("count", 1)?);
    let (name, _) = shop.goods.get(id).ok_or(Problem::new(422, "there is no such thing"))?;
    let number = shop.orders.fetch_add(1, Ordering::Relaxed) + 1;
    response.status(201)?;
    Ok(response.body_fmt(format_args!("order {number}: {count} of {name}\n"))?)
}

fn report(shop: &mut Shop, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let (visits, orders) = (shop.visits, shop.orders.load(Ordering::Relaxed));
    Ok(response.body_fmt(format_args!("visits of this worker: {visits}, orders: {orders}\n"))?)
}

fn main() -> Result<(), ServerError> {
    let goods: Arc<[_]> = [("tea", 3), ("cup", 12)].into();
    let orders = Arc::new(AtomicU64::new(0));
    support::server("web: a shop at /goods/0 and /goods/1, orders by POST /orders, /admin for me:sesame").serve(
        move |worker| {
            let guard = Authenticate::new("Basic realm=\"shop\"", |request| {
                basic_credentials(request, &mut [0; 64])
                    .is_some_and(|login| login.user == "me" && is_same_secret(login.password.as_bytes(), b"sesame"))
            });
            let site = Routes::new()
                .get("/", home)
                .get("/goods/:id", show)
                .post("/orders", order)
                .mount("/admin", Routes::new().get("/", report).behind(guard))
                .with_state(Shop { goods: goods.clone(), visits: 0, orders: orders.clone() })
                .on_refusal(Problem::refused);
            ETags::new(site)
                .wrap(BodyLimit::new(10_000))
                .wrap(SecurityFields::STRICT)
                .wrap(AccessLog::to_stderr().with_ids(RequestId::new(worker.id() as u32)))
        },
    )?;
    Ok(())
}
