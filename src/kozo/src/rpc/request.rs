//! What a program said, as JSON-RPC has it: a request, a notification or an answer.

use std::borrow::Cow;

use kozo_core::value::show;
use rmpv::Value;

use super::fault::{Fault, code};
use super::part::Part;

/// What a program said.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said<'a> {
    /// That it wants something.
    Asked(Asked<'a>),
    /// What became of a request.
    Answered(Answered<'a>),
}

/// A request, or a notification, which has no id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The id, as it is encoded.
    pub(crate) id: Option<&'a [u8]>,
    method: Part<'a>,
    params: Option<Part<'a>>,
}

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    /// The id of the request.
    pub(crate) id: Option<Part<'a>>,
    /// What came of it.
    pub(crate) result: Option<Part<'a>>,
    /// Why nothing came of it.
    pub(crate) error: Option<Part<'a>>,
}

/// Reads what a program said.
///
/// # Errors
/// When it is neither a request nor an answer.
pub(crate) fn read<'a>(line: &Part<'a>) -> Result<Said<'a>, Fault> {
    let names = ["jsonrpc", "method", "id", "params", "result", "error"];
    let [version, method, id, params, result, error] = line.pick(names, code::INVALID_REQUEST)?;
    let Some(method) = method else {
        if result.is_some() || error.is_some() {
            return Ok(Said::Answered(Answered { id, result, error }));
        }
        let text = "this is neither a request nor an answer: it has no method";
        return Err(line.fault(code::INVALID_REQUEST, text));
    };
    let id = id.map(|id| id.id()).transpose()?;
    let asked = Asked { id, method, params: params.and_then(Part::some) };
    if let Some(version) = version
        && version.text("jsonrpc").map_err(|fault| asked.blame(fault))? != "2.0"
    {
        let fault = version.fault(code::INVALID_REQUEST, "jsonrpc is \"2.0\"");
        return Err(asked.blame(fault));
    }
    Ok(Said::Asked(asked))
}

impl<'a> Asked<'a> {
    /// The method.
    ///
    /// # Errors
    /// When it is no text.
    pub(crate) fn method(&self) -> Result<Cow<'a, str>, Fault> {
        let text = self.method.text("the method");
        text.map_err(|_| self.method.fault(code::INVALID_REQUEST, "the method is a text"))
    }

    /// That there is no such method, but these.
    pub(crate) fn unknown(&self, method: &str, methods: &str) -> Fault {
        let unknown = show::shown(&Value::from(method), 64);
        let text = format!("there is no method '{unknown}': there are {methods}");
        self.method.fault(code::NO_METHOD, text)
    }

    /// The same fault, of this request.
    pub(crate) fn blame(&self, fault: Fault) -> Fault {
        Fault { id: self.id.map(<[u8]>::to_vec), ..fault }
    }

    /// Its parameters of these names, which may be missing.
    ///
    /// # Errors
    /// When the parameters are no object, or one appears twice.
    pub(crate) fn pick<const N: usize>(
        &self,
        names: [&'static str; N],
    ) -> Result<[Option<Part<'a>>; N], Fault> {
        match self.params {
            Some(params) => params.pick(names, code::INVALID_PARAMS),
            None => Ok([None; N]),
        }
    }

    /// A parameter that has to be there.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn needed(&self, part: Option<Part<'a>>, name: &str) -> Result<Part<'a>, Fault> {
        part.ok_or_else(|| {
            let place = self.params.as_ref().unwrap_or(&self.method);
            place.fault(code::INVALID_PARAMS, format!("'{name}' is missing in the params"))
        })
    }
}
