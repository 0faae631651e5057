"""One application for each framework, written as its documentation says, with the framework's own login."""
