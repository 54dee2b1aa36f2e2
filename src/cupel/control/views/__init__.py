"""Read models: what the API, `cupel --json` and the pages show, built from one transaction.

Every function reads a fixed number of batches, however much there is to show.
"""

from cupel.control.views.build import artefact_list as artefact_list
from cupel.control.views.build import build_list as build_list
from cupel.control.views.build import build_row as build_row
from cupel.control.views.build import build_view as build_view
from cupel.control.views.change import change_list as change_list
from cupel.control.views.change import change_view as change_view
from cupel.control.views.fleet import host_list as host_list
from cupel.control.views.fleet import host_view as host_view
from cupel.control.views.fleet import machine_list as machine_list
from cupel.control.views.fleet import machine_view as machine_view
from cupel.control.views.nouns import AlternativeView as AlternativeView
from cupel.control.views.nouns import ApprovalView as ApprovalView
from cupel.control.views.nouns import ArtefactView as ArtefactView
from cupel.control.views.nouns import AttemptView as AttemptView
from cupel.control.views.nouns import BranchView as BranchView
from cupel.control.views.nouns import BuildRef as BuildRef
from cupel.control.views.nouns import BuildsetView as BuildsetView
from cupel.control.views.nouns import BuildView as BuildView
from cupel.control.views.nouns import ChangeRef as ChangeRef
from cupel.control.views.nouns import ChangeView as ChangeView
from cupel.control.views.nouns import CountsView as CountsView
from cupel.control.views.nouns import EventView as EventView
from cupel.control.views.nouns import HeadView as HeadView
from cupel.control.views.nouns import HistoryView as HistoryView
from cupel.control.views.nouns import HostView as HostView
from cupel.control.views.nouns import ItemView as ItemView
from cupel.control.views.nouns import JobView as JobView
from cupel.control.views.nouns import KeptOutView as KeptOutView
from cupel.control.views.nouns import MachineRef as MachineRef
from cupel.control.views.nouns import MachineView as MachineView
from cupel.control.views.nouns import NeedView as NeedView
from cupel.control.views.nouns import Page as Page
from cupel.control.views.nouns import PatchSetView as PatchSetView
from cupel.control.views.nouns import PolicyView as PolicyView
from cupel.control.views.nouns import ProjectView as ProjectView
from cupel.control.views.nouns import ProofView as ProofView
from cupel.control.views.nouns import QueueView as QueueView
from cupel.control.views.nouns import ReusedView as ReusedView
from cupel.control.views.nouns import RulesView as RulesView
from cupel.control.views.nouns import StatusView as StatusView
from cupel.control.views.nouns import StepView as StepView
from cupel.control.views.nouns import UsageView as UsageView
from cupel.control.views.queue import queue_view as queue_view
from cupel.control.views.queue import queue_views as queue_views
from cupel.control.views.queue import rules_list as rules_list
from cupel.control.views.queue import rules_view as rules_view
from cupel.control.views.status import event_list as event_list
from cupel.control.views.status import event_views as event_views
from cupel.control.views.status import git_url as git_url
from cupel.control.views.status import project_list as project_list
from cupel.control.views.status import project_view as project_view
from cupel.control.views.status import status_view as status_view
