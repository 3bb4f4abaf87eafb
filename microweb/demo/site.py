from microweb import App

site = App()
