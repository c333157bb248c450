//! What the server answers, without sockets, so that tests need none.

use aurora_http::{Handler, ResponseWriter};
use aurora_http_web::middleware::{AccessLog, RequestId, SecurityFields, Wrap};
use aurora_http_web::{Call, Problem, Routes};

/// The state of one worker; it needs no lock.
#[derive(Default)]
struct State {
    greetings: u64,
}

fn home(_: &mut State, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    response.field("Content-Type", "text/plain; charset=utf-8")?;
    Ok(response.body("try /hello/you\n")?)
}

fn hello(state: &mut State, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    let name: String = call.param("name")?;
    if name.chars().any(char::is_control) {
        return Err(Problem::new(422, "that is not a name"));
    }
    state.greetings += 1;
    response.field("Content-Type", "text/plain; charset=utf-8")?;
    Ok(response.body_fmt(format_args!("hello, {name}! ({})\n", state.greetings))?)
}

fn health(_: &mut State, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), Problem> {
    Ok(response.body("well\n")?)
}

/// The handler of one worker.
pub fn site(worker: u32) -> impl Handler {
    // The compiler checks the routes.
    let routes = const { Routes::new().get("/", home).get("/hello/:name", hello).get("/health", health) };
    routes
        .with_state(State::default())
        .on_refusal(Problem::refused)
        .wrap(SecurityFields::STRICT)
        .wrap(AccessLog::to_stderr().with_ids(RequestId::new(worker)))
}

#[cfg(test)]
mod tests {
    use aurora_http::testing::Client;

    use super::site;

    #[test]
    fn greets_by_name_and_counts() {
        let mut client = Client::new(site(0));
        let response = client.get("/hello/J%C3%BCrgen");
        assert_eq!((response.status(), response.text()), (200, "hello, Jürgen! (1)\n"));
        assert_eq!(client.get("/hello/you").text(), "hello, you! (2)\n");
    }

    #[test]
    fn refuses_what_is_no_name_and_what_is_not_there() {
        let mut client = Client::new(site(0));
        let response = client.get("/hello/%0a");
        assert_eq!((response.status(), response.field("Content-Type")), (422, Some("application/problem+json")));
        assert_eq!(client.get("/nothing").status(), 404);
        assert_eq!(client.post("/", "").status(), 405);
    }
}
