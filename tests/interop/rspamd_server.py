"""An rspamd of the tests' own: without Redis and without the Internet, by HTTP and as a milter.

Its one rule does what the header field X-Test of a message says; the test patterns of rspamd
(GTUBE and those beside it) are on, so that every action can be had. `GTUBE` has them.
"""

import http.client
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.free_ports import free_port
from tests.interop.logging_process import LoggingProcess
from tests.journeys.running_node import PATIENCE
from tests.peers import program

_GTUBE = "JS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
GTUBE = {
    "no action": f"A{_GTUBE}",
    "reject": f"X{_GTUBE}",
    "add header": f"Y{_GTUBE}",
    "rewrite subject": f"Z{_GTUBE}",
}
"""What a body must contain for rspamd to want this."""

_CONFIG = """
options {{
  pidfile = "{folder}/pid";
  filters = "";
  cache_file = "{folder}/symbols.cache";
  history_file = "{folder}/history";
  dynamic_conf = "{folder}/dynamic";
  hs_cache_dir = "{folder}/";
  tempdir = "{folder}";
  control_socket = "{folder}/control mode=0600";
  url_tld = "{folder}/domains";
  enable_test_patterns = true;
  allow_raw_input = true;
  explicit_modules = ["settings"];
  local_addrs = [];
  disable_monitoring = true;
  dns {{ nameserver = ["127.0.0.1:1:1"]; timeout = 0.1s; retransmits = 1; }}
}}
lang_detection {{ languages = "{folder}/languages"; }}
logging {{ type = "file"; filename = "{folder}/log"; level = "info"; }}
lua = "{folder}/rules.lua";
actions {{
  reject = 15; rewrite_subject = 8; add_header = 6; greylist = null;
  discard = 10000; quarantine = 20000;
  subject = "[spam] %s";
}}
modules {{ path = []; }}
worker "normal" {{
  bind_socket = "127.0.0.1:{http_port}";
  bind_socket = "{folder}/http mode=0666";
  count = 1;
}}
worker "rspamd_proxy" {{
  bind_socket = "127.0.0.1:{milter_port}";
  milter = yes;
  timeout = 10s;
  count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""

_RULES = """
local results = {
  quarantine = {'quarantine', 'kept back'},
  discard = {'discard', 'away with it'},
  soft = {'soft reject', 'come again later'},
  reject = {'reject', 'not this one'},
}
rspamd_config.TEST_RULE = {
  score = 1.0,
  callback = function(task)
    local wanted = task:get_header('X-Test')
    if not wanted then return false end
    if wanted == 'headers' then
      task:set_milter_reply({
        add_headers = {
          ['X-One'] = 'one',
          ['X-Top'] = {value = 'top', order = 1},
          ['X-Two'] = {'first', 'second'},
        },
        remove_headers = {['X-Gone'] = 0, ['X-First'] = 1, ['X-Last'] = -1},
      })
    elseif wanted == 'facts' then
      local function join(list)
        local texts = {}
        for _, each in ipairs(list or {}) do table.insert(texts, each.addr) end
        return table.concat(texts, ' ')
      end
      task:set_milter_reply({add_headers = {['X-Facts'] = table.concat({
        tostring(task:get_from_ip()), task:get_helo() or '', task:get_hostname() or '',
        task:get_user() or '', join(task:get_from('smtp')), join(task:get_recipients('smtp')),
        task:get_queue_id() or '', tostring(task:get_request_header('Settings-ID') or ''),
        tostring(task:get_request_header('Deliver-To') or ''),
        tostring(task:get_request_header('TLS-Version') or '')}, '|')}})
    elseif wanted == 'results' then
      local seen = task:get_header_full('Authentication-Results') or {}
      task:set_milter_reply({add_headers = {
        ['Authentication-Results'] = {value = 'mx.example.org; spf=pass', order = 1},
        ['X-Seen'] = tostring(#seen),
      }})
    elseif results[wanted] then
      task:set_pre_result(results[wanted][1], results[wanted][2])
    end
    return true, 1.0, wanted
  end
}
"""


@dataclass(frozen=True, slots=True)
class Rspamd:
    """One that runs. `http_socket` is the unix socket that takes HTTP too."""

    http_port: int
    http_socket: Path
    milter_port: int
    process: LoggingProcess


@contextmanager
def running_rspamd(folder: Path) -> Iterator[Rspamd]:
    """Run one in a folder that is there; it listens when this gives it."""
    http_port, milter_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    (folder / "languages").mkdir()
    (folder / "domains").write_text("com\norg\nnet\nexample\ntest\n")
    (folder / "rules.lua").write_text(_RULES)
    config = folder / "rspamd.conf"
    config.write_text(_CONFIG.format(folder=folder, http_port=http_port, milter_port=milter_port))
    command = [str(program("rspamd", "rspamd")), "-f", "-c", str(config)]
    if os.geteuid() == 0:
        # It would give up root for an account that may not write here.
        command += ["-i", "-u", "root", "-g", "root"]
    process = LoggingProcess(command, folder / "log")
    try:
        _wait_until_it_answers(process, http_port)
        _wait_until_it_listens(process, milter_port)
        yield Rspamd(http_port, folder / "http", milter_port, process)
    finally:
        process.stop()


def _wait_until_it_answers(process: LoggingProcess, port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            client.request("GET", "/ping")
            if client.getresponse().read().strip() == b"pong":
                return
        except OSError:
            assert time.monotonic() < end, "it does not answer\n" + "\n".join(process.lines)
        finally:
            client.close()
        time.sleep(0.05)


def _wait_until_it_listens(process: LoggingProcess, port: int) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
        except ConnectionRefusedError:
            assert time.monotonic() < end, "it is no milter\n" + "\n".join(process.lines)
        else:
            return
        time.sleep(0.05)
