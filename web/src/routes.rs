//! The builder of routes.

use core::marker::PhantomData;
use core::mem::ManuallyDrop;

use aurora_http_core::handler::{Around, Respond};
use aurora_http_core::request::Method;
use aurora_http_core::writer::ResponseWriter;

use crate::call::Call;
use crate::endpoint::{Behind, Each, Endpoint, Function, NoEndpoint, Pair};
use crate::site::Site;
use crate::table::Table;

/// A table of routes, or a part of one. The [crate documentation](crate) describes how paths are matched.
///
/// `S` is the state that all functions receive. Every method adds a route and returns a new type, so functions can return
/// different kinds of exchanges. In a `const` block, mistakes are compile errors:
///
/// ```compile_fail
/// # use aurora_http_core::writer::WriteError;
/// # use aurora_http_web::Routes;
/// let handler = const {
///     Routes::new()
///         .get("/a", |_, _, response| response.body("one"))
///         .get("/a", |_, _, response| response.body("another"))
/// }
/// .with_state(());
/// ```
///
/// Without the `const` block, the program panics at start-up with the line of the wrong route. More than 120 routes in one chain
/// need a higher `recursion_limit`; alternatively, [mount](Self::mount) them in groups, or add [many at once](Self::each).
#[must_use = "routes do nothing until `with_state` makes a handler of them"]
pub struct Routes<S, E, const N: usize = 64> {
    table: Table<N>,
    /// `ManuallyDrop` allows the methods to be `const`. `with_state` takes the endpoints out; if a builder is dropped
    /// before that, its endpoints are leaked.
    endpoints: ManuallyDrop<E>,
    state: PhantomData<fn(&mut S)>,
}

impl<S> Routes<S, NoEndpoint> {
    /// No routes yet, and room for 63.
    pub const fn new() -> Self {
        Self::with_room()
    }
}

impl<S> Default for Routes<S, NoEndpoint> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S, const N: usize> Routes<S, NoEndpoint, N> {
    /// No routes yet, and room for another number of them: `Routes::<_, _, 256>::with_room()` has room for 255 routes and 255
    /// different segments, at about 70 bytes each. Without optimisation, each step of a chain needs twice the size of the whole
    /// table on the stack; build large tables in a `const` block, which needs none.
    pub const fn with_room() -> Self {
        Self { table: Table::empty(), endpoints: ManuallyDrop::new(NoEndpoint), state: PhantomData }
    }
}

impl<S, E, const N: usize> Routes<S, E, N> {
    /// Adds a function for GET, and for HEAD unless that has its own route. If the request has content, the function is called
    /// when all of it has arrived: [`Call::content`].
    ///
    /// # Panics
    /// If the path is malformed, duplicate, in conflict with another one, or if there is no room. The same applies to the other
    /// methods.
    #[track_caller]
    pub const fn get<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Get, path, Function(function))
    }

    /// Adds a function for POST. It is called when all the content has arrived: [`Call::content`].
    #[track_caller]
    pub const fn post<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Post, path, Function(function))
    }

    /// Adds a function for PUT. It is called when all the content has arrived.
    #[track_caller]
    pub const fn put<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Put, path, Function(function))
    }

    /// Adds a function for PATCH. It is called when all the content has arrived.
    #[track_caller]
    pub const fn patch<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Patch, path, Function(function))
    }

    /// Adds a function for DELETE. It is called when all the content, if there is any, has arrived.
    #[track_caller]
    pub const fn delete<F, R>(self, path: &'static str, function: F) -> Routes<S, Pair<E, Function<F>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        self.on(Method::Delete, path, Function(function))
    }

    /// Adds an endpoint for any method: a [`streaming`](crate::streaming) function, a [`handler`](crate::handler), or your own
    /// [`Endpoint`](crate::Endpoint).
    #[track_caller]
    pub const fn on<F: Endpoint<S>>(
        mut self,
        method: Method<'static>,
        path: &'static str,
        endpoint: F,
    ) -> Routes<S, Pair<E, F>, N> {
        self.table.add(method, path);
        let Self { table, endpoints, state } = self;
        let endpoints = ManuallyDrop::new(Pair(ManuallyDrop::into_inner(endpoints), endpoint));
        Routes { table, endpoints, state }
    }

    /// Adds many routes whose functions have the same type, such as function pointers.
    ///
    /// ```
    /// use aurora_http_core::request::Method;
    /// use aurora_http_core::writer::{ResponseWriter, WriteError};
    /// use aurora_http_web::{Call, Routes};
    ///
    /// type Page = fn(&mut (), &Call<'_>, &mut ResponseWriter<'_>) -> Result<(), WriteError>;
    /// let pages: [(Method<'_>, &str, Page); 2] = [
    ///     (Method::Get, "/one", |_, _, response| response.body("1")),
    ///     (Method::Get, "/two", |_, _, response| response.body("2")),
    /// ];
    /// let handler = Routes::new().each(pages).with_state(());
    /// ```
    #[track_caller]
    pub fn each<F, R, const M: usize>(
        mut self,
        routes: [(Method<'static>, &'static str, F); M],
    ) -> Routes<S, Pair<E, Each<F, M>>, N>
    where
        F: FnMut(&mut S, &Call<'_>, &mut ResponseWriter<'_>) -> R,
        R: Respond,
    {
        for (method, path, _) in &routes {
            self.table.add(*method, path);
        }
        let each = Each(routes.map(|(_, _, function)| function));
        let endpoints = ManuallyDrop::new(Pair(ManuallyDrop::into_inner(self.endpoints), each));
        Routes { table: self.table, endpoints, state: self.state }
    }

    /// Adds other routes below a path, which may contain parameters. Their path `/` becomes that path itself.
    #[track_caller]
    pub const fn mount<F, const M: usize>(
        mut self,
        path: &'static str,
        routes: Routes<S, F, M>,
    ) -> Routes<S, Pair<E, F>, N> {
        self.table.add_below(path, &routes.table);
        let Self { table, endpoints, state } = self;
        let Routes { endpoints: below, .. } = routes;
        let endpoints = Pair(ManuallyDrop::into_inner(endpoints), ManuallyDrop::into_inner(below));
        Routes { table, endpoints: ManuallyDrop::new(endpoints), state }
    }

    /// Wraps all routes that were added so far in `outer`. [Mount](Self::mount) the result to give a part of the table its own
    /// guard or limit. Answers such as 404, which no route gives, are not wrapped.
    pub const fn behind<A: Around>(self, outer: A) -> Routes<S, Behind<A, E>, N> {
        let Self { table, endpoints, state } = self;
        let endpoints = ManuallyDrop::new(Behind { outer, inner: ManuallyDrop::into_inner(endpoints) });
        Routes { table, endpoints, state }
    }

    /// Creates the handler for these routes.
    pub const fn with_state(self, state: S) -> Site<S, E, N>
    where
        E: Endpoint<S>,
    {
        Site::new(self.table.sealed(), ManuallyDrop::into_inner(self.endpoints), state)
    }
}

impl<S, E, const N: usize> core::fmt::Debug for Routes<S, E, N> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Routes").field("routes", &self.table.len()).finish_non_exhaustive()
    }
}
