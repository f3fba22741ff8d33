// The socket's end of a dashboard's page: what the server tells goes to the board, which stands already.
import { standing } from "variosync-panels";

export default {
  template: "<div hidden></div>",
  emits: ["left", "back"],
  mounted() {
    this.board = standing();
    Object.assign(this.board.hooks, { left: () => this.$emit("left"), back: () => this.$emit("back") });
    document.querySelector("main.q-page")?.setAttribute("role", "none");  // the board's is the page's
  },
  methods: {
    version(told) { this.board.version(told); },
    changed(told) { this.board.changed(told); },
    lost(told) { this.board.lost(told); },
    deleted() { this.board.ended(); },
    hears(heard) { this.board.hears(heard); },
  },
};
