// Time: one clock for clip, 3D view and plots. A playing video drives it; without one, the browser's clock does.

class Player {
  /**
   * @param clip the motion
   * @param video element or null; its picture at currentTime t belongs to the motion's instant t
   * @param changed called with no argument whenever time or state changes
   */
  constructor(clip, video, changed) {
    this.clip = clip;
    this.video = video;
    this.changed = changed;
    this.time = clip.firstPresent() / clip.data.fps;
    this.playing = false;
    this.speed = 1;
    this.loop = true;
    this.pictureTime = null; // time of the picture on screen while the video plays
    this.pending = null; // where to seek when the seek under way ends
    this.tick = this.tick.bind(this);
    if (video) this.attach(video);
  }

  get fps() {
    return this.clip.data.fps;
  }

  get lastTime() {
    return (this.clip.frames - 1) / this.fps;
  }

  get frame() {
    return Math.round(this.time * this.fps);
  }

  attach(video) {
    video.addEventListener("seeked", () => {
      if (this.pending !== null) this.seekVideo(this.pending);
      this.changed();
    });
    video.addEventListener("loadeddata", () => this.changed());
    video.addEventListener("ended", () => this.atEnd());
    video.addEventListener("pause", () => {
      if (this.playing && video.paused && !video.ended && !document.hidden) this.pause();
    });
    if (video.requestVideoFrameCallback) {
      const shown = (_, metadata) => {
        this.pictureTime = metadata.mediaTime;
        this.changed();
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    }
    this.seekVideo(this.time);
  }

  /** Give up the video (it cannot be decoded here): the clock takes over. */
  dropVideo() {
    this.video = null;
    this.pictureTime = null;
  }

  play() {
    if (this.playing || this.clip.frames < 2) return;
    if (this.time >= this.lastTime - 1e-6) this.seek(0);
    this.playing = true;
    this.pictureTime = null;
    if (this.video) {
      // A seek still waiting its turn must not be overtaken: playing would go on from the place that was left.
      if (this.pending !== null) this.video.currentTime = this.pending + 0.5 / this.fps;
      this.pending = null;
      this.video.playbackRate = this.speed;
      this.video.play().catch(() => this.pause());
    }
    this.before = performance.now();
    requestAnimationFrame(this.tick);
    this.changed();
  }

  pause() {
    this.playing = false;
    if (this.video) this.video.pause();
    this.seek(Math.floor(this.time * this.fps + 0.02) / this.fps);
  }

  toggle() {
    this.playing ? this.pause() : this.play();
  }

  setSpeed(speed) {
    this.speed = speed;
    if (this.video) this.video.playbackRate = speed;
    this.changed();
  }

  /** Go to the frame at `time` (seconds from the first frame). */
  seek(time) {
    const frame = clamp(Math.round(time * this.fps), 0, this.clip.frames - 1);
    this.time = frame / this.fps;
    if (this.video) this.seekVideo(this.time);
    this.changed();
  }

  step(frames) {
    if (this.playing) this.pause();
    this.seek(this.time + frames / this.fps);
  }

  /** Ask for the middle of a frame, so that rounding cannot show its neighbour; one seek at a time. */
  seekVideo(time) {
    if (this.video.seeking) {
      this.pending = time;
      return;
    }
    this.pending = null;
    const middle = time + 0.5 / this.fps;
    if (Math.abs(this.video.currentTime - middle) > 1e-4) this.video.currentTime = middle;
  }

  /** Time of the picture on screen: the video's own while it plays. */
  get overlayTime() {
    return this.playing && this.pictureTime !== null ? this.pictureTime : this.time;
  }

  tick(now) {
    if (!this.playing) return;
    if (this.video) {
      if (!this.video.seeking) this.time = clamp(this.video.currentTime, 0, this.lastTime);
      if (this.video.currentTime > this.clip.duration + 1 / this.fps) this.atEnd(); // the video goes on longer
    } else {
      this.time += ((now - this.before) / 1000) * this.speed;
      if (this.time > this.clip.duration) this.atEnd();
    }
    this.before = now;
    this.changed();
    if (this.playing) requestAnimationFrame(this.tick);
  }

  atEnd() {
    if (this.loop) {
      this.time = 0;
      if (this.video && this.playing) {
        this.video.currentTime = 0;
        this.video.play().catch(() => this.pause());
      }
      return;
    }
    this.time = this.lastTime;
    this.pause();
  }
}
