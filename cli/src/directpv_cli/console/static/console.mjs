// What pages do by themselves: hear of changes, ask for their own parts again, show how old they are, and send forms.
import { follow } from "./live.mjs";
import { forms } from "./forms.mjs";

follow(document.body.dataset);
forms();
