"""Kubeflow Pipelines over HTTP, with what it refuses in words.

The key is KFP_TOKEN, or KFP_COOKIE as a browser has it; in a pod, and where KF_PIPELINES_SA_TOKEN_PATH names a file, it
is the service account's token, read anew for every request.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kfp
import kfp_server_api
import urllib3
from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH, ServiceAccountTokenVolumeCredentials
from kfp.client.client import KF_PIPELINES_UI_ENDPOINT_ENV

from unidoc_rl import keys
from unidoc_rl.doctor import KFP_COOKIE as COOKIE
from unidoc_rl.doctor import KFP_TOKEN as TOKEN
from unidoc_rl.errors import Away, UnidocError
from unidoc_rl.params import Params

AUTHORITIES = "SSL_CERT_FILE"  # as for OpenSSL
ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")
SECONDS = 60
NO_KEY = f"it wants a key, or yours has run out: set {TOKEN}, {COOKIE} or {KF_PIPELINES_SA_TOKEN_ENV}"
WHAT_TO_DO = {
    302: NO_KEY,  # to a page to log in
    303: NO_KEY,
    307: NO_KEY,
    400: "it does not take this, and its words say why",
    401: NO_KEY,
    403: "your key does not allow this: ask its administrator for the right, and see that pipeline.namespace is yours",
    404: "there is no such thing: look at the name, and at services.kfp",
    409: "there is one already, and it cannot be found: see whether it is archived, or in another namespace",
}
OLDEST = (2, 14)  # that tells a last task how the others have ended, and collects what a loop has made
PLATFORM = "; the Kubeflow platform, where it serves several users, has it below /pipeline: end the address so"
SOMETHING_ELSE = (
    "something else than Kubeflow Pipelines answers there, perhaps a page to log in: look at services.kfp, and set "
    f"{TOKEN} or {COOKIE}"
)


class Conflict(UnidocError):
    """What was to be made is there already."""


class Server:
    """The API, asked once for each thing. `seconds`: how long it may be silent."""

    def __init__(self, params: Params, seconds: int = SECONDS) -> None:
        if not params.services.kfp:
            raise UnidocError("services.kfp: names no Kubeflow Pipelines; give its address, such as http://host:8888")
        if not ADDRESS.fullmatch(params.services.kfp):
            raise UnidocError(
                f"services.kfp: {params.services.kfp} is no address such as http://host:8888 or https://host/pipeline; "
                "of one that a browser shows, leave out what begins with #"
            )
        self.address = params.services.kfp.rstrip("/")
        self.namespace = params.pipeline.namespace
        self.service_account = params.pipeline.service_account  # of the runs that are started
        self._seconds = seconds
        self._api = self._connected()

    def _connected(self) -> Any:
        besides = "" if urlsplit(self.address).path else PLATFORM
        with self.explained("asking whether it is well", besides), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is of version 2
            client = _Client(self.address, self.namespace, self._seconds)
            health = client.get_kfp_healthz()
        if health.multi_user is None:
            raise UnidocError(f"{self.address}: {SOMETHING_ELSE}{besides}")
        self._refuse_older(client.release())
        if health.multi_user and not self.namespace:
            raise UnidocError(f"{self.address}: serves several users: set pipeline.namespace to your profile's")
        return client

    def _refuse_older(self, release: str) -> None:
        """One that is built without a number is taken as it is."""
        number = re.match(r"v?(\d+)\.(\d+)", release)
        if number and (int(number[1]), int(number[2])) < OLDEST:
            needed = ".".join(map(str, OLDEST))
            raise UnidocError(f"{self.address}: is Kubeflow Pipelines {release}, and {needed} is needed at least")

    def call(self, service: str, method: str, doing: str, *arguments: Any, **options: Any) -> Any:
        """`doing`: what an error says was being done."""
        asked = getattr(self._api, service)
        with self.explained(doing):
            given = getattr(asked, method)(*arguments, **options, _request_timeout=self._seconds)
        if not _is_its_own(asked.api_client.last_response.data):
            raise Away(f"{self.address}: {doing}: {SOMETHING_ELSE}")
        return given

    def pages(self) -> str:
        """Where a person looks at runs."""
        return f"{os.environ.get(KF_PIPELINES_UI_ENDPOINT_ENV, self.address)}/#/runs"

    def page(self, run: str) -> str:
        return f"{self.pages()}/details/{run}"

    @contextmanager
    def explained(self, doing: str, besides: str = "") -> Iterator[None]:
        """`besides`: what else may be the matter where it refuses."""
        where = f"{self.address}: {doing}"
        try:
            yield
        except kfp_server_api.ApiException as error:
            raise _refusal(where, error, besides) from error
        except UnicodeDecodeError as error:  # of kfp_server_api, for which every page is UTF-8
            refused = error.__context__
            if isinstance(refused, kfp_server_api.ApiException):
                raise _refusal(where, refused, besides) from error
            raise Away(f"{where}: {SOMETHING_ELSE}") from error
        except AttributeError as error:  # likewise, which looks for a body in what TLS refuses
            refused = error.__context__
            if not isinstance(refused, kfp_server_api.ApiException):
                raise
            raise UnidocError(
                f"{where}: no safe connection ({_said(refused)}); where its certificate is of an authority of yours, "
                f"{AUTHORITIES} names its file"
            ) from error
        except urllib3.exceptions.NewConnectionError as error:
            raise Away(f"{where}: cannot be reached ({error}); start it, or correct services.kfp") from error
        except urllib3.exceptions.TimeoutError as error:
            raise Away(
                f"{where}: no answer within {self._seconds} seconds; see that it is well, then do it again"
            ) from error
        except urllib3.exceptions.HTTPError as error:
            raise Away(f"{where}: broke off ({error}); see that it is well, then do it again") from error


class _Client(kfp.Client):  # type: ignore[misc]  # kfp has no types
    """That asks for the server's health once, as it begins, and not five times with pauses."""

    def __init__(self, address: str, namespace: str | None, seconds: int) -> None:
        self._seconds = seconds
        self._health = None
        authorities = os.environ.get(AUTHORITIES)
        super().__init__(address, namespace=namespace or "kubeflow", ssl_ca_cert=authorities, **_key())

    def _load_config(self, *options: Any) -> kfp_server_api.Configuration:
        config = super()._load_config(*options)
        config.retries = False  # those of urllib3, which would say so on screen, and follow to a page to log in
        return config

    def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
        if self._health is None:
            self._health = self.healthzs.healthz_service_get_healthz(_request_timeout=self._seconds)
        return self._health

    def _load_context_setting_or_default(self) -> None:
        """Not of the home folder either, where a cookie of another server may stand."""
        self._context_setting = {"namespace": ""}

    def release(self) -> str:
        """Its health tells it, though the client's model of that does not know."""
        return str(json.loads(self.healthzs.api_client.last_response.data).get("tag_name"))

    def set_user_namespace(self, namespace: str) -> None:
        """Not written into the home folder."""


def _key() -> dict[str, Any]:
    if token := keys.key(TOKEN):
        return {"existing_token": token}
    if cookie := keys.key(COOKIE):
        return {"cookies": cookie}
    file = Path(os.environ.get(KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH))
    if file.is_file():
        return {"credentials": ServiceAccountTokenVolumeCredentials(str(file))}
    if KF_PIPELINES_SA_TOKEN_ENV in os.environ:
        raise UnidocError(f"{KF_PIPELINES_SA_TOKEN_ENV}: {file} is no file; it should hold a service account's token")
    return {}


def _is_its_own(answer: str) -> bool:
    """The client makes a thing of which nothing is known out of any other one."""
    try:
        return isinstance(json.loads(answer), dict)
    except ValueError:
        return False


def _refusal(where: str, error: kfp_server_api.ApiException, besides: str) -> UnidocError:
    said = f"{where}: {error.status} ({_said(error)})"
    if error.status == 409:
        return Conflict(f"{said}; {WHAT_TO_DO[409]}")
    if error.status in WHAT_TO_DO:
        return UnidocError(f"{said}; {WHAT_TO_DO[error.status]}{besides}")
    return Away(f"{said}; look at its log, then do it again")


def _said(error: kfp_server_api.ApiException) -> str:
    """By the server, in one line: its own message where it gives one."""
    text = error.body or error.reason or ""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    try:
        answer = json.loads(text)
        text = answer.get("error") or answer.get("message") or answer.get("error_message") or text
    except (ValueError, AttributeError):
        pass
    return " ".join(str(text).split())[:300]
